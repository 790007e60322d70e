package main

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of every process that works on what a member sent: git's and the hook's.
const (
	maxCPU       = 20 * 60  // seconds; an honest push of a gigabyte takes two minutes
	maxFile      = 16 << 30 // bytes of one file; receive.maxInputSize is far below
	maxOpenFiles = 1024
	maxProcesses = 8192 // of the whole account
)

// limitResources limits this process and those that it starts. memory is the
// address space of each; 0 leaves it as it is. What is limited already to less
// stays so.
func limitResources(memory uint64) error {
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_AS: memory, unix.RLIMIT_CPU: maxCPU, unix.RLIMIT_FSIZE: maxFile,
		unix.RLIMIT_NOFILE: maxOpenFiles, unix.RLIMIT_NPROC: maxProcesses,
	} {
		if limit == 0 {
			continue
		}
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return err
		}
		now.Max = min(now.Max, limit)
		now.Cur = min(now.Cur, now.Max)
		if err := unix.Setrlimit(resource, &now); err != nil {
			return err
		}
	}
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}

// parseSize reads a number of bytes as git writes it: 512m, 2g.
func parseSize(text string) (uint64, error) {
	unit := uint64(1)
	for suffix, n := range map[string]uint64{"k": 1 << 10, "m": 1 << 20, "g": 1 << 30} {
		if digits, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = digits, n
			break
		}
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size like 2g", text)
	}
	return n * unit, nil
}
