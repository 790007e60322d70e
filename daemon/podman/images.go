package podman

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"github.com/distribution/reference"

	"towline/daemon"
)

// imageEngine is a daemon.Images.
type imageEngine struct {
	*client
	replaced map[string]string // references by others, by full names
	// Podman reads all names of an image and writes them back with one more or less: of
	// those that come at the same time it would lose some. Who gives or takes one puts a token in.
	naming chan struct{}
}

// nameAlone waits for the turn to give or take an image's name; done ends it.
func (e *imageEngine) nameAlone(ctx context.Context) (done func(), err error) {
	select {
	case e.naming <- struct{}{}:
		return func() { <-e.naming }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// EnsureImage implements daemon.Images.
func (e *imageEngine) EnsureImage(ctx context.Context, ref string, out io.Writer) (daemon.Image, error) {
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

func (e *imageEngine) pull(ctx context.Context, ref string, options *images.PullOptions) (daemon.Image, error) {
	c, err := e.call(ctx)
	if err != nil {
		return daemon.Image{}, err
	}
	ids, err := images.Pull(c, fullName(ref), options)
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
func (e *imageEngine) Image(ctx context.Context, ref string) (daemon.Image, error) {
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
		image.Exposed = exposed(slices.Collect(maps.Keys(config.ExposedPorts)))
	}
	return image
}

// exposed are the TCP ports among those of an image, which are written like 80/tcp.
func exposed(ports []string) (numbers []int) {
	for _, port := range ports {
		number, protocol, _ := strings.Cut(port, "/")
		if n, err := strconv.Atoi(number); err == nil && 0 < n && n < 1<<16 && (protocol == "" || protocol == "tcp") {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// LoadImage implements daemon.Images.
func (e *imageEngine) LoadImage(ctx context.Context, archive io.Reader) (daemon.Image, error) {
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
func (e *imageEngine) SaveImage(ctx context.Context, ref string, w io.Writer) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	options := new(images.ExportOptions).WithFormat("docker-archive")
	return wrap(images.Export(c, []string{e.rewrite(ref)}, w, options), "save image "+ref)
}

// TagImage implements daemon.Images.
func (e *imageEngine) TagImage(ctx context.Context, id, ref string) error {
	done, err := e.nameAlone(ctx)
	if err != nil {
		return err
	}
	defer done()
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	name, tag := splitTag(ref)
	return wrap(images.Tag(c, id, tag, name, nil), "tag image "+ref)
}

// UntagImage implements daemon.Images. An image that a container still uses loses
// its name alone.
func (e *imageEngine) UntagImage(ctx context.Context, ref string) error {
	done, err := e.nameAlone(ctx)
	if err != nil {
		return err
	}
	defer done()
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

// replacements are those configured, by their full names.
func replacements(configured map[string]string) map[string]string {
	replaced := map[string]string{}
	for _, ref := range daemon.SortedKeys(configured) {
		replaced[fullName(ref)] = configured[ref]
	}
	return replaced
}

// Replacement implements daemon.Images: ruby, ruby:latest and docker.io/library/ruby are one.
func (e *imageEngine) Replacement(ref string) string {
	if other := e.replaced[fullName(ref)]; other != ref {
		return other
	}
	return ""
}

// rewrite replaces a reference by the one configured for it.
func (e *imageEngine) rewrite(ref string) string { return cmp.Or(e.Replacement(ref), ref) }

// fullName is a reference with its registry and its tag; an ID, as it is.
func fullName(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.TagNameOnly(named).String()
}

// splitTag parts a reference into its name and tag; no tag is "latest".
func splitTag(ref string) (name, tag string) {
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		return ref[:i], ref[i+1:]
	}
	return ref, "latest"
}
