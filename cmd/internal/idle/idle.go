// Package idle gives memory of a program that has nothing to do back to the machine.
package idle

import (
	"debug/elf"
	"os"

	"golang.org/x/sys/unix"
)

// ReleaseProgram lets go of the pages of the program itself: the code that set up
// hundreds of packages at the start is not needed again. What is comes back from the
// page cache at its next use.
func ReleaseProgram() {
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
