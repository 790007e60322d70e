package podman

import (
	"context"
	"os"
	"sync"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/system"
	"golang.org/x/sys/unix"
)

// host is what Podman tells of itself and of the machine that it runs on.
type host struct {
	*client
	asking sync.Mutex
	facts  *facts // nil until Podman was asked
}

// info is what Podman tells of itself. Both parts are there, if empty. It is the slowest of all
// questions: Podman starts a dozen programs, the machine's package manager among them, to
// learn of what version its own are, and looks at every container.
func (h *host) info(ctx context.Context) (*define.Info, error) {
	c, err := h.call(ctx)
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
func (h *host) fixed(ctx context.Context) (facts, error) {
	h.asking.Lock()
	defer h.asking.Unlock()
	if h.facts != nil {
		return *h.facts, nil
	}
	info, err := h.info(ctx)
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
	h.facts = &f
	return f, nil
}

// Storage is the directory in which Podman keeps images.
func (h *host) Storage(ctx context.Context) (string, error) {
	f, err := h.fixed(ctx)
	return f.root, err
}

// LimitsDisk tells whether a container's limit of disk bounds all that it writes, or the
// size of each file alone.
func (h *host) LimitsDisk(ctx context.Context) (bool, error) {
	f, err := h.fixed(ctx)
	return f.quotas, err
}
