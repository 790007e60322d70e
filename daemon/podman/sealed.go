package podman

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/containers/podman/v5/libpod/define"
	"golang.org/x/sys/unix"

	"towline/daemon"
)

// Podman makes the files hosts, resolv.conf, hostname and .containerenv of a container
// in its run directory and mounts them where the container can write to them. They are
// read by Podman's service and by the daemon, and the run directory is often in memory:
// a container that made its hosts file terabytes large would end both, or fill the
// directory for all. So they are sealed before the container's process starts: mounted
// read-only, and owned by the host's root, which no user namespace maps.

// maxHosts bounds a hosts file that is read, in bytes.
const maxHosts = 1 << 20

// madeFile is one that Podman has made for a container, open on the host.
type madeFile struct {
	*os.File
	target string // where it is mounted in the container
}

// openMadeFiles opens those that are there. The caller closes them, also after an error.
func openMadeFiles(data *define.InspectContainerData) (files []madeFile, err error) {
	paths := map[string]string{"/etc/hosts": data.HostsPath, "/etc/resolv.conf": data.ResolvConfPath, "/etc/hostname": data.HostnamePath}
	if data.HostnamePath != "" {
		paths["/run/.containerenv"] = filepath.Join(filepath.Dir(data.HostnamePath), ".containerenv")
	}
	for target, path := range paths {
		if path == "" {
			continue
		}
		file, err := openMade(path, os.O_RDONLY)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return files, err
		}
		files = append(files, madeFile{file, target})
	}
	return files, nil
}

// sealFiles makes what Podman has made for a container read-only to it. The container's
// process must wait for its start, in its own mount namespace already.
func sealFiles(data *define.InspectContainerData) error {
	process, err := openProcess(data.State.Pid)
	if err != nil {
		return fmt.Errorf("process %d of container %s: %w", data.State.Pid, data.Name, err)
	}
	defer process.Close()
	files, err := openMadeFiles(data)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := errors.Join(f.Chown(0, 0), f.Chmod(0o644)); err != nil {
			return err
		}
	}
	err = inMountsOf(process, func() error {
		for _, f := range files {
			if err := f.remountReadOnly(); err != nil {
				return fmt.Errorf("%s: %w", f.target, err)
			}
		}
		return nil
	})
	if err != nil {
		return daemon.Errorf(daemon.Failed, "make /etc/hosts and its like read-only in container %s: %w", data.Name, err).
			WithHint("Towline needs Linux 5.12 or later")
	}
	return nil
}

// inMountsOf calls f by a thread that is in the mount namespace of a process, in its root.
func inMountsOf(process *os.File, f func() error) error {
	done := make(chan error)
	go func() {
		// The thread is in the container from here on: as it is not unlocked, the runtime
		// ends it together with this goroutine.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread would not be ended. It is what /proc/self tells of: it is held
			// here, while another does the work.
			defer runtime.UnlockOSThread()
			done <- inMountsOf(process, f)
			return
		}
		var err error
		defer func() { done <- err }()
		defer daemon.Contain("work in the mounts of a container", &err)
		err = enterMounts(process)
		if err == nil {
			err = f()
		}
	}()
	return <-done
}

// enterMounts moves the calling thread for good.
func enterMounts(process *os.File) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Setns(int(process.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the mount namespace: %w", err)
	}
	return nil
}

// remountReadOnly leaves alone what is not the file itself: another mount of the
// container's took its place, or the process has ended and its number is another's.
func (f madeFile) remountReadOnly() error {
	mount, err := unix.Open(f.target, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(mount) }()
	var here, there unix.Stat_t
	if err := errors.Join(unix.Fstat(mount, &here), unix.Fstat(int(f.Fd()), &there)); err != nil {
		return err
	}
	if here.Dev != there.Dev || here.Ino != there.Ino {
		return nil
	}
	return unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// openMade opens a file that Podman has made, which may be mounted where a container can
// write to it: no link is followed, and nothing is waited for.
func openMade(path string, flags int) (*os.File, error) {
	file, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// readMade reads such a file, of at most limit bytes.
func readMade(file *os.File, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.NewSectionReader(file, 0, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = &fs.PathError{Op: "read", Path: file.Name(), Err: fmt.Errorf("larger than %d bytes", limit)}
	}
	return content, err
}
