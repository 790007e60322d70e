package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// hostRestore becomes towlined restore. The daemon of the machine that is restored is down,
// so that no session leads there.
func hostRestore(in invocation) int {
	const hint = "log in to the machine that is to come up, as root, and type: towline host:restore FILE"
	if in.host != "" || in.remote != "" {
		return refuse(errors.New("a machine is restored by root on it"), hint)
	}
	path, err := exec.LookPath("towlined")
	if self, serr := os.Executable(); err != nil && serr == nil {
		path, err = exec.LookPath(filepath.Join(filepath.Dir(self), "towlined"))
	}
	if err != nil {
		return refuse(errors.New("there is no towlined on this machine"), hint)
	}
	args := append([]string{"towlined", "restore"}, in.words[1:]...)
	return refuse(syscall.Exec(path, args, os.Environ()), hint)
}
