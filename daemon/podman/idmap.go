package podman

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containers/podman/v5/pkg/bindings/system"
	"golang.org/x/sys/unix"
)

// A container with a user namespace sees the files of its image under other owners. Where
// the kernel can show them so, in the mounts of the image's layers, that costs nothing.
// Elsewhere Podman copies the image for each range of ids, with every file's owner changed,
// which can take longer than all the rest of a deploy.

// mapsCheaply tells whether it costs nothing here.
func (e *Engine) mapsCheaply() bool {
	return e.storageFact(&e.cheapMaps, func(ctx context.Context) (bool, error) {
		c, err := e.call(ctx)
		if err != nil {
			return false, err
		}
		info, err := system.Info(c, nil)
		if err != nil || info.Store == nil {
			return false, wrap(err, "podman")
		}
		if info.Store.GraphDriverName != "overlay" {
			return false, nil
		}
		if _, helped := info.Store.GraphOptions["overlay.mount_program"]; helped {
			return true, nil // which maps by itself
		}
		var name unix.Utsname
		if err := unix.Uname(&name); err != nil {
			return false, err
		}
		return cheapMaps(info.Store.RunRoot, unix.ByteSliceToString(name.Release[:])), nil
	})
}

// cheapMaps looks at what the storage has noted in its run directory when it first tried;
// before that the kernel's release tells, which has what it takes since 5.19.
func cheapMaps(runRoot, release string) bool {
	for _, can := range []bool{true, false} {
		note := filepath.Join(runRoot, "overlay", fmt.Sprintf("idmapped-lower-dir-%t", can))
		if _, err := os.Stat(note); err == nil {
			return can
		}
	}
	var major, minor int
	_, err := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return err == nil && (major > 5 || major == 5 && minor >= 19)
}

// storageFact asks once.
func (e *Engine) storageFact(known **bool, ask func(context.Context) (bool, error)) bool {
	e.mu.Lock()
	fact := *known
	e.mu.Unlock()
	if fact != nil {
		return *fact
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectLimit)
	defer cancel()
	is, err := ask(ctx)
	if err != nil {
		return false // and no container can be made just now either
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	*known = &is
	return is
}
