package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"towline/daemon"
)

// exportScript is the second half of dockerfileScript alone.
const exportScript = `buildah push -q --compression-level 1 app oci:/out/img:latest || exit 11`

// findKnownLayers lists the layers that the engine has for sure and that this app
// may have: its bases', and its newest image's.
func (d *dockerfileBuild) findKnownLayers(ctx context.Context) {
	d.known = map[string]int64{}
	note := func(id string, layers []layer) {
		if _, err := d.b.options.Engine.Image(ctx, id); err == nil {
			for _, l := range layers {
				d.known[l.DiffID] = l.Size
			}
		}
	}
	for _, b := range d.bases {
		note(b.ID, b.Layers)
	}
	if d.state.Image != "" {
		note(d.state.Image, d.state.Layers)
	}
}

// clearExport begins the directory that buildah exports to anew. It lays out files
// with the names of layers that the engine has: buildah finds them and exports
// only the others. They take no room.
func (d *dockerfileBuild) clearExport() error {
	dir, ids := filepath.Join(d.work, "out"), int(d.b.options.IDMap)
	if err := errors.Join(os.RemoveAll(dir), makeDir(dir, ids, ids)); err != nil {
		return err
	}
	for _, name := range []string{"img", "blobs", "sha256"} {
		dir = filepath.Join(dir, name)
		if err := makeDir(dir, ids, ids); err != nil {
			return err
		}
	}
	for diffID, size := range d.known {
		hex, ok := digestHex(diffID)
		if !ok {
			continue
		}
		path := filepath.Join(dir, hex)
		if err := errors.Join(writeFile(path, "", ids, ids), os.Truncate(path, size)); err != nil {
			return err
		}
	}
	return nil
}

// deliver loads what buildah exported into the engine, under the wanted name.
func (d *dockerfileBuild) deliver(ctx context.Context) (daemon.Image, error) {
	image, layers, err := d.load(ctx)
	if err != nil && ctx.Err() == nil && len(d.known) > 0 {
		// A layer that the engine should have had was gone after all.
		if image, layers, err = d.exportAll(ctx); err != nil {
			return image, err
		}
	}
	if err != nil {
		return image, err
	}
	if err := d.b.options.Engine.TagImage(ctx, image.ID, d.req.Image); err != nil {
		return image, err
	}
	d.state.Image, d.state.Layers = image.ID, layers
	if err := d.state.write(d.dir); err != nil {
		return image, err
	}
	return d.b.options.Engine.Image(ctx, d.req.Image)
}

func (d *dockerfileBuild) load(ctx context.Context) (daemon.Image, []layer, error) {
	root, err := os.OpenRoot(filepath.Join(d.work, "out"))
	if err != nil {
		return daemon.Image{}, nil, err
	}
	defer root.Close()
	exported, err := readExport(root, d.known)
	if err != nil {
		return daemon.Image{}, nil, err
	}
	image, err := loadArchive(ctx, d.b.options.Engine, exported)
	return image, exported.layers(), err
}

// exportAll exports the image once more, with all its layers.
func (d *dockerfileBuild) exportAll(ctx context.Context) (daemon.Image, []layer, error) {
	d.known = nil
	if err := d.clearExport(); err != nil {
		return daemon.Image{}, nil, err
	}
	exit, err := d.run(ctx, "dockerfile", d.spec(exportScript, nil, nil), d.out)
	if err != nil {
		return daemon.Image{}, nil, err
	}
	if exit != 0 {
		return daemon.Image{}, nil, d.failed("can't export the image", exit)
	}
	return d.load(ctx)
}
