package build

import (
	"context"
	"fmt"
	"os"

	"towline/daemon"
)

// deliver loads the image that the lifecycle pushed into the engine. What the
// engine has of it already does not travel.
func (p *buildpackBuild) deliver(ctx context.Context) (daemon.Image, error) {
	image, layers, err := p.load(ctx, p.knownLayers(ctx))
	if err != nil && ctx.Err() == nil {
		image, layers, err = p.load(ctx, nil) // a layer was gone after all
	}
	if err != nil {
		return image, err
	}
	if err := p.b.options.Engine.TagImage(ctx, image.ID, p.req.Image); err != nil {
		return image, err
	}
	p.state.Image, p.state.Layers = image.ID, layers
	if err := p.state.write(p.dir); err != nil {
		return image, err
	}
	return p.b.options.Engine.Image(ctx, p.req.Image)
}

func (p *buildpackBuild) load(ctx context.Context, known map[string]int64) (daemon.Image, []layer, error) {
	root, err := os.OpenRoot(p.b.registry.path())
	if err != nil {
		return daemon.Image{}, nil, err
	}
	defer root.Close()
	manifest, _, err := p.b.registry.Manifest(appRepository(p.req.App), "latest")
	if err != nil {
		return daemon.Image{}, nil, fmt.Errorf("the lifecycle pushed no image: %w", err)
	}
	pushed, err := newExport(root, ".", manifest, known)
	if err != nil {
		return daemon.Image{}, nil, err
	}
	if err := pushed.setEnv("HOME", appDir); err != nil {
		return daemon.Image{}, nil, err
	}
	image, err := loadArchive(ctx, p.b.options.Engine, pushed)
	return image, pushed.layers(), err
}

// knownLayers are those of the run image and of the app's newest image, if the
// engine still has it.
func (p *buildpackBuild) knownLayers(ctx context.Context) map[string]int64 {
	known := map[string]int64{}
	if _, err := p.b.options.Engine.Image(ctx, p.state.Image); p.state.Image != "" && err == nil {
		for _, l := range p.state.Layers {
			known[l.DiffID] = l.Size
		}
	}
	root, err := os.OpenRoot(p.b.registry.path())
	if err != nil {
		return known
	}
	defer root.Close()
	manifest, _, err := p.b.registry.Manifest(runRepository(p.runImage.ID), runTag)
	if err != nil {
		return known
	}
	if run, err := newExport(root, ".", manifest, nil); err == nil {
		for _, l := range run.layers() {
			known[l.DiffID] = l.Size
		}
	}
	return known
}
