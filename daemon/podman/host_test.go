package podman_test

import (
	"io/fs"
	"os"
	"strings"
	"syscall"
)

func ownerOf(info fs.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

// controller tells whether the kernel can limit something, by either version of
// control groups.
func controller(name string) bool {
	if list, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return strings.Contains(" "+string(list)+" ", name)
	}
	_, err := os.Stat("/sys/fs/cgroup/" + name)
	return err == nil
}
