package podman

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/containers/podman/v5/libpod/define"
	"golang.org/x/sys/unix"

	"towline/daemon"
)

// What is mounted into a container with a user namespace belongs to ids of the host that
// the namespace does not know. So its files are shown to the container under the ids that
// they have: on the disk root's are root's, whatever range the container has, and neither
// a copy of them nor a container that has another range, or none, needs them changed. Not
// every runtime can mount so. The kernel does it here, over what the runtime has mounted,
// before the container's process starts. One that is started in another way finds nothing
// that it may write to.

// labelMounts says of a container whose mounts are shown so where its ids begin.
const labelMounts = "towline.mounts"

// mountsFrom is that; 0: they are not.
func mountsFrom(data *define.InspectContainerData) uint32 {
	if data.Config == nil {
		return 0
	}
	first, err := strconv.ParseUint(data.Config.Labels[labelMounts], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(first)
}

// mapsMounts tells whether the kernel can show a directory under other ids. mounts is as
// proc(5) has it.
func mapsMounts(mounts, dir, release string) bool {
	kind, _ := mountOf(mounts, dir)
	return since519(release) && slices.Contains([]string{"ext4", "xfs", "btrfs"}, kind)
}

// unmappable tells of a container that has to go without a user namespace, as its mounts
// can't be shown in one, or know ids beyond those that it would have.
func (e *Engine) unmappable(ctx context.Context, spec daemon.ContainerSpec, f facts) (bool, error) {
	if !f.mapsVolumes {
		return true, nil
	}
	image, err := e.Image(ctx, spec.Image)
	if err != nil {
		return false, err
	}
	user, workDir := cmp.Or(spec.User, image.User), cmp.Or(spec.WorkDir, image.WorkDir)
	for id := range strings.SplitSeq(user, ":") {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil && n >= idMapSize {
			return true, nil
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	for _, m := range spec.Mounts {
		// Its process would be left in what the runtime has mounted.
		if strings.HasPrefix(workDir, m.Target+"/") {
			return true, nil
		}
		path := m.Source
		if m.Volume != "" {
			if path, err = e.VolumePath(ctx, m.Volume); daemon.IsKind(err, daemon.NotFound) {
				continue
			} else if err != nil {
				return false, err
			}
		} else if path == "" {
			continue
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return false, &fs.PathError{Op: "stat", Path: path, Err: err}
		}
		// Somebody may have mounted another disk over a volume, too.
		if !mapsMounts(string(mounts), path, f.release) || beyond(st.Uid, spec.IDMap) || beyond(st.Gid, spec.IDMap) {
			return true, nil
		}
	}
	return false, nil
}

// beyond tells of an id on the disk that a container whose ids begin at first does not have.
func beyond(id, first uint32) bool { return id >= idMapSize && id-first >= idMapSize }

// mapMounts shows a container what is mounted into it under the ids that it has. The
// container's process must wait for its start.
func mapMounts(data *define.InspectContainerData) (err error) {
	first := mountsFrom(data)
	if first == 0 {
		return nil
	}
	process, err := openProcess(data.State.Pid)
	if err != nil {
		return fmt.Errorf("process %d of container %s: %w", data.State.Pid, data.Name, err)
	}
	defer process.Close()
	namespace, err := userNamespace(process, data.State.Pid)
	if err != nil {
		return fmt.Errorf("user namespace of container %s: %w", data.Name, err)
	}
	defer namespace.Close()
	trees, err := mappedTrees(data, namespace, first)
	defer func() {
		for _, t := range trees {
			t.Close()
		}
	}()
	if err == nil {
		err = inMountsOf(process, func() error { return attachAll(trees) })
	}
	if err != nil {
		return daemon.Errorf(daemon.Failed, "show container %s its volumes under its own user ids: %w", data.Name, err)
	}
	return nil
}

// userNamespace opens that of a process.
func userNamespace(process *os.File, pid int) (*os.File, error) {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	// It is another's if the process has ended and its number was given away.
	if gone := unix.PidfdSendSignal(int(process.Fd()), 0, nil, 0); gone != nil || errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			namespace.Close()
		}
		return nil, unix.ESRCH
	}
	return namespace, err
}

// tree is a directory or file of the host, mounted nowhere yet.
type tree struct {
	*os.File
	target string // where it belongs in the container
	is     unix.Stat_t
	within bool // another of them
}

// mappedTrees are those that a container has mounted, outer ones first. The caller closes
// them, also after an error.
func mappedTrees(data *define.InspectContainerData, namespace *os.File, first uint32) (trees []tree, err error) {
	mounts := slices.Clone(data.Mounts)
	slices.SortFunc(mounts, func(a, b define.InspectMount) int { return strings.Compare(a.Destination, b.Destination) })
	for _, m := range mounts {
		if m.Type != "volume" && m.Type != "bind" {
			continue
		}
		if m.Type == "volume" || m.Destination == data.Config.WorkingDir {
			if err := keepIDs(m.Source, first); err != nil {
				return trees, err
			}
		}
		t, err := mappedTree(m, namespace)
		if err != nil {
			return trees, &fs.PathError{Op: "mount", Path: m.Source, Err: err}
		}
		t.within = slices.ContainsFunc(trees, func(outer tree) bool { return strings.HasPrefix(m.Destination, outer.target+"/") })
		trees = append(trees, t)
	}
	return trees, nil
}

func mappedTree(m define.InspectMount, namespace *os.File) (tree, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, m.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return tree{}, err
	}
	t := tree{File: os.NewFile(uintptr(fd), m.Source), target: m.Destination}
	attributes := unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_IDMAP | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV,
		Userns_fd:   uint64(namespace.Fd()),
		Propagation: unix.MS_PRIVATE,
	}
	if !m.RW {
		attributes.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	err = errors.Join(unix.Fstat(fd, &t.is), unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attributes))
	if err != nil {
		t.Close()
	}
	return t, err
}

// attachAll mounts them in place of what the runtime has mounted. The calling thread is in
// the container, with its root.
func attachAll(trees []tree) error {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(root) }()
	for _, t := range trees {
		err := t.attach()
		if err == nil {
			err = changeRoot(root)
		}
		if err != nil {
			return &fs.PathError{Op: "mount", Path: t.target, Err: err}
		}
	}
	return nil
}

// attach leaves the thread with another root. A file covers what is there. A directory takes
// its place, and that of the working directory of the container's process, if that is it.
func (t tree) attach() error {
	at, err := unix.Open(t.target, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(at) }()
	var there unix.Stat_t
	if err := unix.Fstat(at, &there); err != nil {
		return err
	}
	same := there.Dev == t.is.Dev && there.Ino == t.is.Ino
	// What was mounted within another is gone by now, with its place to be seen.
	if !same && !t.within {
		return errors.New("something else is mounted there")
	}
	swap := same && t.is.Mode&unix.S_IFMT == unix.S_IFDIR
	if swap {
		if err := changeRoot(at); err != nil {
			return err
		}
	}
	if err := unix.MoveMount(int(t.Fd()), "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil || !swap {
		return err
	}
	// It covers the root, and becomes it: the kernel moves all who are in the old one.
	if err := unix.Fchdir(int(t.Fd())); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Fchdir(at); err != nil {
		return err
	}
	return unix.Unmount(".", unix.MNT_DETACH)
}

func changeRoot(dir int) error {
	if err := unix.Fchdir(dir); err != nil {
		return err
	}
	return unix.Chroot(".")
}

// lendWorkDir gives a container the directory that it is to work in by the host's ids, if it
// is one that is mounted: the runtime goes there before its mounts are mapped, as somebody
// who might not be let in. keepIDs takes it back.
func lendWorkDir(data *define.InspectContainerData) error {
	first := mountsFrom(data)
	i := slices.IndexFunc(data.Mounts, func(m define.InspectMount) bool { return m.Destination == data.Config.WorkingDir })
	if first == 0 || i < 0 {
		return nil
	}
	// Podman may not have noticed yet that it has ended.
	if live(data.State) && !ended(data.State.Pid) {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Lstat(data.Mounts[i].Source, &st); err != nil {
		return err
	}
	if st.Uid >= idMapSize || st.Gid >= idMapSize || st.Mode&0o001 != 0 {
		return nil // it has it still, or anybody may go there
	}
	return os.Lchown(data.Mounts[i].Source, int(first+st.Uid), int(first+st.Gid))
}

// lend does so for a container by its name.
func (e *containerEngine) lend(ctx context.Context, name string) error {
	data, err := e.inspect(ctx, name)
	if err != nil {
		return err
	}
	return wrap(lendWorkDir(data), "container "+name)
}

// keepIDs gives what Podman has put into a volume that was new the ids that it has in the
// container: Podman fills one from the image, and gives it to whom the image gives the place
// to, by the host's ids. Cut short, it does the rest when called again: the volume's own
// directory comes last.
func keepIDs(volume string, first uint32) error {
	root, err := os.OpenRoot(volume)
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Lstat(".")
	if err != nil {
		return err
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid-first >= idMapSize && st.Gid-first >= idMapSize {
		return nil
	}
	err = daemon.WalkRoot(root, func(name string, err error) error {
		if err != nil || name == "." {
			return err
		}
		return keepID(root, name, first)
	})
	if err != nil {
		return err
	}
	return keepID(root, ".", first)
}

func keepID(root *os.Root, name string, first uint32) error {
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	inside := func(id uint32) int {
		if id-first < idMapSize {
			return int(id - first)
		}
		return -1 // as it is
	}
	uid, gid := inside(st.Uid), inside(st.Gid)
	if uid < 0 && gid < 0 {
		return nil
	}
	if err := root.Lchown(name, uid, gid); err != nil || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) == 0 || info.Mode()&fs.ModeSymlink != 0 {
		return err
	}
	return root.Chmod(name, info.Mode()) // which a change of the owner takes from it
}
