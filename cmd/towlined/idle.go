package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// idleDelay is how long nobody must have asked for anything before memory is given
// back.
const idleDelay = 5 * time.Second

// idler gives memory back to the machine when the daemon has had nothing to do for a
// while: a deploy takes tens of megabytes, of which the next hours need none.
type idler struct {
	mu    sync.Mutex
	busy  int
	timer *time.Timer
}

// newIdler begins idle.
func newIdler() *idler {
	i := &idler{}
	i.timer = time.AfterFunc(idleDelay, i.rest)
	return i
}

// work notes that something is done until done is called.
func (i *idler) work() (done func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.busy++
	i.timer.Stop()
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.busy--; i.busy == 0 {
			i.timer.Reset(idleDelay)
		}
	}
}

func (i *idler) rest() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.busy > 0 {
		return
	}
	debug.FreeOSMemory()
	releaseProgram()
}

// releaseProgram lets go of the pages of the program itself: the code that set up
// hundreds of packages at the start is not needed again. What is comes back from the
// page cache at its next use.
func releaseProgram() {
	self, err := os.Executable()
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		// start-end permissions offset device inode path, as in proc_pid_maps(5). Only what
		// cannot be written is the same in the file.
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[5] != self || strings.Contains(fields[1], "w") {
			continue
		}
		var start, end uintptr
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &start, &end); err != nil {
			return
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED)
	}
}
