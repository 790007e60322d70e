package podman

import (
	"context"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/system"
)

// About is what Podman tells of itself.
type About struct {
	Version  string
	Runtime  string // "crun 1.8.1"
	Database string // "boltdb" or "sqlite"; empty: this version does not tell
	Driver   string // of its storage
	Storage  string // directory of it
}

// About asks Podman.
func (h *host) About(ctx context.Context) (About, error) {
	info, err := h.info(ctx)
	if err != nil {
		return About{}, err
	}
	a := About{
		Version: info.Version.Version,
		Driver:  info.Store.GraphDriverName, Storage: info.Store.GraphRoot,
		Database: info.Host.DatabaseBackend,
	}
	if r := info.Host.OCIRuntime; r != nil {
		a.Runtime = r.Name
		// "crun version 1.8.1\ncommit: ..."
		if words := strings.Fields(r.Version); len(words) > 2 && words[1] == "version" {
			a.Runtime += " " + words[2]
		}
	}
	return a, nil
}

// ImageSize is what an image takes on disk, in bytes: Own is shared with no other.
type ImageSize struct {
	Repository string // without the tag
	Own, Total int64
}

// ImageSizes are those of every image that Podman has, whoever's it is.
func (e *imageEngine) ImageSizes(ctx context.Context) ([]ImageSize, error) {
	c, err := e.call(ctx)
	if err != nil {
		return nil, err
	}
	report, err := system.DiskUsage(c, nil)
	// Podman fails when a container goes away while it looks at all of them.
	for n := 1; n < 10 && err != nil && contains(err, "no such container", "no such image", "image not known"); n++ {
		report, err = system.DiskUsage(c, nil)
	}
	if err != nil {
		return nil, wrap(err, "disk usage")
	}
	seen := map[string]bool{} // an image of two names is listed twice
	var list []ImageSize
	for _, i := range report.Images {
		s := ImageSize{Repository: i.Repository, Total: i.Size, Own: i.UniqueSize}
		if seen[i.ImageID] {
			s.Own = 0
		}
		seen[i.ImageID] = true
		list = append(list, s)
	}
	return list, nil
}
