package build

import (
	"context"
	"strings"

	"towline/daemon"
)

// ensure is the engine's EnsureImage, whose error names an image that stands for another.
// It notes which image the build has got.
func (j *job) ensure(ctx context.Context, ref string) (daemon.Image, error) {
	engine := j.b.options.Engine
	image, err := engine.EnsureImage(ctx, ref, j.out)
	if other := engine.Replacement(ref); other != "" && daemon.IsKind(err, daemon.NotFound) {
		err = daemon.Errorf(daemon.Failed, "%s is in the place of %s by [images] in towline.toml, and is not on this machine", other, ref).
			WithHint("an administrator can build or pull it there, or take %s out of [images]", ref)
	}
	if err == nil {
		j.images[ref] = image.ID
	}
	return image, err
}

// sayReplaced tells the pusher what an image really is that goes by another's name.
func (j *job) sayReplaced(name, id string) {
	if other := j.b.options.Engine.Replacement(name); other != "" {
		j.out.Note("%s is %s here (%s), by [images] in towline.toml", name, other, shortID(id))
	}
}

// shortID is what people know an image by.
func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}
