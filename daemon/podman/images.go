package podman

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"towline/daemon"
)

// EnsureImage implements daemon.Images.
func (e *Engine) EnsureImage(ctx context.Context, ref string, out io.Writer) (daemon.Image, error) {
	image, err := e.Image(ctx, ref)
	if !errors.Is(err, daemon.ErrNotFound) {
		return image, err
	}
	name := e.rewrite(ref)
	if strings.HasPrefix(name, "localhost/") {
		return image, daemon.Errorf(daemon.NotFound, "image %s is not on this machine", name)
	}
	if out == nil {
		out = io.Discard
	}
	return e.pull(ctx, name, new(images.PullOptions).WithProgressWriter(out))
}

func (e *Engine) pull(ctx context.Context, ref string, options *images.PullOptions) (daemon.Image, error) {
	c, err := e.call(ctx)
	if err != nil {
		return daemon.Image{}, err
	}
	ids, err := images.Pull(c, qualified(ref), options)
	if err == nil && ctx.Err() != nil {
		err = ctx.Err() // the bindings just stop
	}
	if err != nil {
		return daemon.Image{}, pullFailed(err, ref)
	}
	if len(ids) == 0 {
		return daemon.Image{}, daemon.Errorf(daemon.Failed, "pull %s: no image came", ref)
	}
	return e.Image(ctx, ids[0])
}

// Image implements daemon.Images.
func (e *Engine) Image(ctx context.Context, ref string) (daemon.Image, error) {
	c, err := e.call(ctx)
	if err != nil {
		return daemon.Image{}, err
	}
	report, err := images.GetImage(c, e.rewrite(ref), nil)
	if err != nil {
		return daemon.Image{}, wrap(err, "image "+ref)
	}
	return newImage(report), nil
}

func newImage(report *types.ImageInspectReport) daemon.Image {
	image := daemon.Image{
		ID:     report.ID,
		Refs:   report.RepoTags,
		Labels: report.Labels,
		Env:    map[string]string{},
		User:   report.User,
		Size:   report.Size,
	}
	if config := report.Config; config != nil {
		for _, pair := range config.Env {
			key, value, _ := strings.Cut(pair, "=")
			image.Env[key] = value
		}
		image.Entrypoint, image.Cmd = config.Entrypoint, config.Cmd
		image.WorkDir = config.WorkingDir
	}
	return image
}

// LoadImage implements daemon.Images.
func (e *Engine) LoadImage(ctx context.Context, archive io.Reader) (daemon.Image, error) {
	c, err := e.call(ctx)
	if err != nil {
		return daemon.Image{}, err
	}
	report, err := images.Load(c, archive)
	if err != nil {
		return daemon.Image{}, wrap(err, "load image")
	}
	if len(report.Names) == 0 {
		return daemon.Image{}, daemon.Errorf(daemon.Failed, "load image: the archive holds none")
	}
	return e.Image(ctx, report.Names[0])
}

// SaveImage implements daemon.Images.
func (e *Engine) SaveImage(ctx context.Context, ref string, w io.Writer) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	options := new(images.ExportOptions).WithFormat("docker-archive")
	return wrap(images.Export(c, []string{e.rewrite(ref)}, w, options), "save image "+ref)
}

// TagImage implements daemon.Images.
func (e *Engine) TagImage(ctx context.Context, id, ref string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	name, tag := splitTag(ref)
	return wrap(images.Tag(c, id, tag, name, nil), "tag image "+ref)
}

// UntagImage implements daemon.Images. An image that a container still uses loses
// its name alone.
func (e *Engine) UntagImage(ctx context.Context, ref string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	_, errs := images.Remove(c, []string{ref}, nil)
	err = errors.Join(errs...)
	if err == nil || absent(errs[0]) || contains(err, "image not known") {
		return nil
	}
	if !contains(err, "in use") {
		return wrap(errs[0], "remove image "+ref)
	}
	name, tag := splitTag(ref)
	err = images.Untag(c, ref, tag, name, nil)
	if absent(err) {
		return nil
	}
	return wrap(err, "untag image "+ref)
}

// rewrite replaces a reference by the one configured for it, under its short or its
// full name.
func (e *Engine) rewrite(ref string) string {
	for _, name := range []string{ref, qualified(ref)} {
		if other, ok := e.options.Images[name]; ok {
			return other
		}
	}
	return ref
}

// splitTag parts a reference into its name and tag; no tag is "latest".
func splitTag(ref string) (name, tag string) {
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		return ref[:i], ref[i+1:]
	}
	return ref, "latest"
}

// qualified puts the default registry before a reference that names none: Podman
// refuses such names unless the machine's administrator listed registries.
func qualified(ref string) string {
	first, _, more := strings.Cut(ref, "/")
	switch {
	case !more:
		return "docker.io/library/" + ref
	case strings.ContainsAny(first, ".:") || first == "localhost":
		return ref
	default:
		return "docker.io/" + ref
	}
}
