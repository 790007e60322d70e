//go:build faults

package main

import (
	"fmt"
	"os"
	"syscall"
)

// fault ends the daemon as kill -9 does at the recorded step that TOWLINE_CRASH_AT
// names, like "deploy:swap" or "deploy:swap:done". See daemon/journal. Every step
// that is passed is a line in the file that TOWLINE_FAULT_LOG names, so that the tests
// learn which there are.
var fault = func(point string) {
	if path := os.Getenv("TOWLINE_FAULT_LOG"); path != "" {
		if f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
			fmt.Fprintln(f, point)
			f.Close()
		}
	}
	if point == os.Getenv("TOWLINE_CRASH_AT") {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
