package podman

import (
	"context"
	"io"

	"github.com/containers/podman/v5/pkg/bindings/images"
)

// SaveImages writes several images as one docker archive, in which what they share is once.
func (e *imageEngine) SaveImages(ctx context.Context, refs []string, w io.Writer) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	return wrap(images.Export(c, refs, w, new(images.ExportOptions).WithFormat("docker-archive")), "save images")
}

// LoadImages reads such an archive and returns the names of what was in it.
func (e *imageEngine) LoadImages(ctx context.Context, archive io.Reader) ([]string, error) {
	c, err := e.call(ctx)
	if err != nil {
		return nil, err
	}
	report, err := images.Load(c, archive)
	if err != nil {
		return nil, wrap(err, "load images")
	}
	return report.Names, nil
}
