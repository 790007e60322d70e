package main

import (
	"debug/elf"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// idleDelay is how long nobody must have asked for anything before memory is given
	// back.
	idleDelay = 5 * time.Second
	// restInterval is how often what the daemon does by itself is cleared up after.
	restInterval = 30 * time.Second
)

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
	i.mu.Lock()
	defer i.mu.Unlock()
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
	i.timer.Reset(restInterval)
}

// releaseProgram lets go of the pages of the program itself: the code that set up
// hundreds of packages at the start is not needed again. What is comes back from the
// page cache at its next use.
func releaseProgram() {
	file, err := elf.Open("/proc/self/exe")
	if err != nil {
		return
	}
	defer file.Close()
	if file.Type != elf.ET_EXEC {
		return // not where the file says
	}
	page := uint64(os.Getpagesize())
	for _, p := range file.Progs {
		// What is never written is the same in the file. (Data that is read-only from some
		// moment on is in a segment that can be written.)
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_W != 0 {
			continue
		}
		start, end := (p.Vaddr+page-1)/page*page, (p.Vaddr+p.Filesz)/page*page
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
	}
}
