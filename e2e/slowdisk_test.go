package e2e

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"towline/e2e/stack"
)

// slowDisk is a folder on a disk that takes its time to sync.
type slowDisk struct {
	sync    time.Duration
	syncing atomic.Int64
	synced  atomic.Int64
}

type slowNode struct {
	fs.LoopbackNode
	disk *slowDisk
}

var _ fs.NodeFsyncer = (*slowNode)(nil)

// WrapChild implements fs.NodeWrapChilder.
func (n *slowNode) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &slowNode{LoopbackNode: fs.LoopbackNode{RootData: child.(*fs.LoopbackNode).RootData}, disk: n.disk}
}

// Fsync implements fs.NodeFsyncer.
func (n *slowNode) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	n.disk.syncing.Add(1)
	defer n.disk.syncing.Add(-1)
	<-time.After(n.disk.sync)
	n.disk.synced.Add(1)
	if f, ok := f.(fs.FileFsyncer); ok {
		return f.Fsync(ctx, flags)
	}
	return 0
}

// slowDown puts what is at dir on a slow disk, for those who mount dir from now on. fast
// undoes that; they keep the disk.
func slowDown(t *testing.T, dir string, sync time.Duration) (disk *slowDisk, fast func()) {
	t.Helper()
	below := t.TempDir()
	if err := unix.Mount(dir, below, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(below, unix.MNT_DETACH) })
	disk = &slowDisk{sync: sync}
	root := &slowNode{LoopbackNode: fs.LoopbackNode{RootData: &fs.LoopbackRoot{Path: below}}, disk: disk}
	root.RootData.RootNode = root
	if _, err := fs.Mount(dir, root, &fs.Options{MountOptions: fuse.MountOptions{
		FsName: "slowdisk", AllowOther: true, DirectMountStrict: true, Options: []string{"default_permissions"},
	}}); err != nil {
		t.Fatal(err)
	}
	fast = func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }
	t.Cleanup(fast)
	return disk, fast
}

// TestSlowDisk: what waits for its disk cannot be frozen, and is tried again until it
// can. Redis, told to sync every second, answers before it writes to its files while a
// sync takes long: what it has acknowledged is in the backup all the same.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("there is no FUSE: ", err)
	}
	s := ownStack(t, stack.Options{})
	installPlugin(t, s, "balky", balky)
	admin(t, s, "apps:create slow")
	for _, service := range []string{
		"redis",
		"balky", // Redis that is not told to prepare for a snapshot
	} {
		t.Run(service, func(t *testing.T) {
			admin(t, s, "addons:create "+service+" -a slow")
			addon := service + "-slow"
			db := openDatabase(t, s, "slow", "redis", addon)
			out, err := stack.Podman("inspect", container(t, s, "addon-"+addon), "--format", `{{range .Mounts}}{{if eq .Destination "/data"}}{{.Source}}{{end}}{{end}}`)
			if err != nil {
				t.Fatal(err)
			}
			disk, fast := slowDown(t, strings.TrimSpace(out), 1500*time.Millisecond)
			admin(t, s, "addons:restart "+addon)
			w := startWrites(db, 0)
			eventually(t, func() string {
				if disk.synced.Load() < 2 || disk.syncing.Load() == 0 {
					return "nothing is synced"
				}
				return ""
			})
			b := capture(t, s, addon)
			w.stop(t)
			if b.Status != "good" {
				t.Fatalf("%+v", b)
			}
			fast() // the volume is about to be removed
			if service == "redis" {
				admin(t, s, "backups:restore "+b.ID+" --confirm "+addon)
				w.assertExact(t, db, b)
			}
			admin(t, s, "addons:destroy "+addon+" --confirm "+addon)
		})
	}
}
