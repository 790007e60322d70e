package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"towline/daemon"
)

// refuseBase says why a Dockerfile may not build upon, or copy from, what it names.
func refuseBase(name string) error {
	if len(name) > 200 {
		name = name[:200] + "..."
	}
	if strings.Contains(name, "$") {
		return daemon.Errorf(daemon.Invalid, "the Dockerfile copies from %q: the name of an image may not hold a variable there", name).
			WithHint("give the image a stage of its own, as in FROM $IMAGE AS files, and copy from that")
	}
	return daemon.Errorf(daemon.Invalid, "the Dockerfile builds upon %q, which is not the name of an image", name).
		WithHint("only images are taken, by their name alone, like node:20 or ghcr.io/acme/base:1")
}

// provideBases finds the store of each base image, and of those that cached
// layers rest upon. This build's come first: there names are looked up.
func (d *dockerfileBuild) provideBases(ctx context.Context, names []string) error {
	for _, name := range names {
		if strings.Contains(name, "@") || strings.ContainsAny(name, " \t$") || strings.HasPrefix(name, "-") {
			continue // buildah knows what to do, or what to say
		}
		full, ok := d.b.allowed.find(name, repositoryOf(d.req.Image))
		if !ok {
			if local, _ := canonical(name); strings.HasPrefix(local, "localhost/") {
				return daemon.Errorf(daemon.Invalid, "%s is not an image that a build may use", name).
					WithHint("an administrator can add it to bases under [build] in towline.toml, or name one of a registry")
			}
			if d.b.options.Engine.Replacement(name) != "" {
				d.out.Warn(name + " is taken as it is named, and not as [images] in towline.toml has it, as bases under [build] does not allow it")
			}
			continue // it may be public: buildah can pull it
		}
		got, found, err := d.b.bases.Provide(ctx, d.job, full, name)
		if err != nil {
			return err
		}
		if !found && strings.HasPrefix(name, "localhost/") {
			return daemon.Errorf(daemon.Failed, "base image %s is not on this machine", name).
				WithHint("names that begin with localhost/ are never pulled: build it on the machine, or name a registry")
		}
		if !found {
			continue
		}
		d.sayReplaced(name, got.ID)
		if slices.ContainsFunc(d.bases, func(b base) bool { return b.ID == got.ID }) {
			d.b.bases.Release(got.ID)
			continue
		}
		d.bases = append(d.bases, got)
	}
	if err := d.provideOldBases(); err != nil {
		return err
	}
	d.state.Bases = nil
	for _, b := range d.bases {
		d.state.Bases = append(d.state.Bases, foundation{b.ID, b.Unpacking})
	}
	return nil
}

// provideOldBases finds the stores that the layers in the app's cache rest upon. If
// one is gone or was unpacked anew, or there are too many, the cache is begun anew.
func (d *dockerfileBuild) provideOldBases() error {
	own := len(d.bases)
	for _, under := range d.state.Bases {
		if !d.provideOldBase(under) || len(d.bases) > max(own, keepBases) {
			for _, b := range d.bases[own:] {
				d.b.bases.Release(b.ID)
			}
			d.bases = d.bases[:own]
			return d.clearStore()
		}
	}
	return nil
}

// provideOldBase tells whether layers in the app's cache can still rest upon an image.
func (d *dockerfileBuild) provideOldBase(under foundation) bool {
	if i := slices.IndexFunc(d.bases, func(b base) bool { return b.ID == under.ID }); i >= 0 {
		return d.bases[i].Unpacking == under.Unpacking
	}
	got, err := d.b.bases.Use(under.ID)
	if err != nil {
		return false
	}
	d.bases = append(d.bases, got)
	return got.Unpacking == under.Unpacking && d.mayUse(got)
}

// clearStore begins the app's cache anew.
func (d *dockerfileBuild) clearStore() error {
	d.state.Steps = nil
	store, ids := filepath.Join(d.dir, "store"), int(d.b.options.IDMap)
	return errors.Join(os.RemoveAll(store), makeDir(store, ids, ids))
}

// mayUse tells whether the app may still build upon a store that its cache rests
// upon: what is allowed may have changed.
func (d *dockerfileBuild) mayUse(b base) bool {
	return slices.ContainsFunc(b.Names, func(name string) bool {
		_, ok := d.b.allowed.find(name, repositoryOf(d.req.Image))
		return ok
	})
}

func (d *dockerfileBuild) baseIDs() (ids []string) {
	for _, b := range d.bases {
		ids = append(ids, b.ID)
	}
	return ids
}

func (d *dockerfileBuild) release() {
	for _, id := range d.baseIDs() {
		d.b.bases.Release(id)
	}
}
