package memory

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"towline/daemon"
)

// imageEngine is a daemon.Images.
type imageEngine struct{ *state }

// AddImage adds an image, as a build or a load does. A name that another image had moves to
// this one.
func (e *imageEngine) AddImage(image daemon.Image) daemon.Image {
	e.mu.Lock()
	defer e.mu.Unlock()
	return clone(e.addImage(image))
}

func (e *imageEngine) addImage(image daemon.Image) *daemon.Image {
	e.made++
	image.ID = fmt.Sprintf("%064x", e.made)
	for _, ref := range image.Refs {
		e.takeName(ref)
	}
	e.images = append(e.images, &image)
	return &image
}

// Images are all that there are.
func (e *imageEngine) Images() (list []daemon.Image) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range e.images {
		list = append(list, clone(i))
	}
	return list
}

// clone keeps the names of an image from changing in the hands of a caller.
func clone(i *daemon.Image) daemon.Image {
	image := *i
	image.Refs = slices.Clone(i.Refs)
	return image
}

func (s *state) image(ref string) *daemon.Image {
	for _, i := range s.images {
		if i.ID == ref || slices.Contains(i.Refs, ref) {
			return i
		}
	}
	return nil
}

func (e *imageEngine) takeName(ref string) {
	for _, i := range e.images {
		i.Refs = slices.DeleteFunc(i.Refs, func(r string) bool { return r == ref })
	}
}

// EnsureImage implements daemon.Images. Every image that is not this machine's own can be
// pulled, and is empty.
func (e *imageEngine) EnsureImage(ctx context.Context, ref string, _ io.Writer) (daemon.Image, error) {
	if err := over(ctx, "pull "+ref); err != nil {
		return daemon.Image{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := e.image(ref); i != nil {
		return clone(i), nil
	}
	if strings.HasPrefix(ref, "localhost/") {
		return daemon.Image{}, notFound("image", ref)
	}
	return clone(e.addImage(daemon.Image{Refs: []string{ref}})), nil
}

// Replacement implements daemon.Images.
func (e *imageEngine) Replacement(string) string { return "" }

// Image implements daemon.Images.
func (e *imageEngine) Image(ctx context.Context, ref string) (daemon.Image, error) {
	if err := over(ctx, "image "+ref); err != nil {
		return daemon.Image{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := e.image(ref); i != nil {
		return clone(i), nil
	}
	return daemon.Image{}, notFound("image", ref)
}

// TagImage implements daemon.Images.
func (e *imageEngine) TagImage(ctx context.Context, id, ref string) error {
	if err := over(ctx, "tag image "+ref); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.image(id)
	if i == nil {
		return notFound("image", id)
	}
	e.takeName(ref)
	i.Refs = append(i.Refs, ref)
	return nil
}

// UntagImage implements daemon.Images. An image that a container still uses stays without
// a name.
func (e *imageEngine) UntagImage(ctx context.Context, ref string) error {
	if err := over(ctx, "remove image "+ref); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.image(ref)
	if i == nil {
		return nil
	}
	i.Refs = slices.DeleteFunc(i.Refs, func(r string) bool { return r == ref || ref == i.ID })
	for _, c := range e.containers {
		if c.info.Image == i.ID {
			return nil
		}
	}
	if len(i.Refs) == 0 {
		e.images = slices.DeleteFunc(e.images, func(o *daemon.Image) bool { return o == i })
	}
	return nil
}

// LoadImage implements daemon.Images. No archive can be read: see AddImage.
func (e *imageEngine) LoadImage(context.Context, io.Reader) (daemon.Image, error) {
	return daemon.Image{}, daemon.Errorf(daemon.Failed, "load image: there are no archives in memory")
}

// SaveImage implements daemon.Images, and fails as LoadImage does.
func (e *imageEngine) SaveImage(context.Context, string, io.Writer) error {
	return daemon.Errorf(daemon.Failed, "save image: there are no archives in memory")
}
