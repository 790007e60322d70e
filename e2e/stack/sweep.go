package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A stack's directory holds a file that its process keeps locked. Where the lock is
// free, the process was killed before it could clean up, and the next stack does.
const (
	parent   = "/var/tmp"
	prefix   = "towline-stack-"
	lockName = "lock"
)

func (s *Stack) own() (err error) {
	if s.lock, err = os.OpenFile(s.path(lockName), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	_, err = s.lock.WriteString(s.Name)
	return err
}

// Sweep removes what stacks of processes that were killed have left behind.
func Sweep() error {
	left, err := filepath.Glob(filepath.Join(parent, prefix+"*", lockName))
	demos, derr := filepath.Glob(filepath.Join(parent, "towline-demo*", lockName))
	errs := []error{err, derr}
	for _, path := range append(left, demos...) {
		errs = append(errs, sweep(path))
	}
	return errors.Join(errs...)
}

func sweep(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return nil // in use
	}
	name, err := os.ReadFile(path)
	if err != nil || len(name) == 0 {
		return nil // being made, or gone meanwhile
	}
	dir := filepath.Dir(path)
	if err := killPrograms(dir); err != nil {
		return err
	}
	return errors.Join(removeObjects(string(name), dir), os.RemoveAll(dir))
}

// killPrograms ends the programs that were started from dir and run still.
func killPrograms(dir string) error {
	pids, err := filepath.Glob(filepath.Join(dir, "log", "*.pid"))
	if err != nil {
		return err
	}
	for _, file := range pids {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(string(text))
		if err != nil || !runsFrom(pid, dir) {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		for deadline := time.Now().Add(10 * time.Second); runsFrom(pid, dir); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				return fmt.Errorf("process %d of %s does not die", pid, dir)
			}
		}
	}
	return nil
}

// runsFrom tells whether the process is one that names dir: a number may be
// another's by now.
func runsFrom(pid int, dir string) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(line), dir+"/")
}
