package podman

import (
	"context"
	"os"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/system"
	"golang.org/x/sys/unix"
)

// info is what Podman tells of itself. Both parts are there, if empty. It is the slowest of all
// questions: Podman starts a dozen programs, the machine's package manager among them, to
// learn of what version its own are, and looks at every container.
func (e *Engine) info(ctx context.Context) (*define.Info, error) {
	c, err := e.call(ctx)
	if err != nil {
		return nil, err
	}
	info, err := system.Info(c, nil)
	if err != nil {
		return nil, wrap(err, "podman")
	}
	if info.Store == nil {
		info.Store = &define.StoreInfo{}
	}
	if info.Host == nil {
		info.Host = &define.HostInfo{}
	}
	return info, nil
}

// facts are what does not change while the daemon runs: how Podman keeps images, and who makes
// its control groups.
type facts struct {
	root      string // directory of the storage
	quotas    bool   // a limit of disk bounds all that a container writes: see quota.go
	cheapMaps bool   // mapping user ids costs nothing: see idmap.go
	release   string // of the kernel
	// mapsVolumes: volumes can be shown to a container under other ids: see mounts.go.
	mapsVolumes bool
	slices      bool // control groups are systemd's: see slice.go
}

// fixed asks Podman once.
func (e *Engine) fixed(ctx context.Context) (facts, error) {
	e.asking.Lock()
	defer e.asking.Unlock()
	if e.facts != nil {
		return *e.facts, nil
	}
	info, err := e.info(ctx)
	if err != nil {
		return facts{}, err
	}
	f := facts{root: info.Store.GraphRoot, slices: info.Host.CgroupManager == "systemd"}
	if info.Store.GraphDriverName == "overlay" {
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		f.quotas = err == nil && projectQuotas(string(mounts), info.Store.GraphRoot)
		var name unix.Utsname
		if err := unix.Uname(&name); err != nil {
			return facts{}, err
		}
		f.release = unix.ByteSliceToString(name.Release[:])
		_, helped := info.Store.GraphOptions["overlay.mount_program"] // which maps by itself
		f.cheapMaps = helped || cheapMaps(info.Store.RunRoot, f.release)
		f.mapsVolumes = f.cheapMaps && mapsMounts(string(mounts), info.Store.VolumePath, f.release)
	}
	e.facts = &f
	return f, nil
}

// Storage is the directory in which Podman keeps images.
func (e *Engine) Storage(ctx context.Context) (string, error) {
	f, err := e.fixed(ctx)
	return f.root, err
}

// LimitsDisk tells whether a container's limit of disk bounds all that it writes, or the
// size of each file alone.
func (e *Engine) LimitsDisk(ctx context.Context) (bool, error) {
	f, err := e.fixed(ctx)
	return f.quotas, err
}
