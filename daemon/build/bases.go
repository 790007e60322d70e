package build

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"towline/daemon"
)

// baseStores hold the images of the host's engine that Dockerfiles build upon,
// each unpacked once into a store of its own, which the builds of all apps mount
// read-only. No stranger's code ever runs where one can be written.
//
// They are directories bases/ID, where ID is the image's; a file base.json in
// each tells what is in it, and its absence that it was never finished.
type baseStores struct {
	b       *Builder
	filling keyedMutex // by image ID

	mu   sync.Mutex
	used map[string]int // image ID -> builds that use it now
}

// base is an image in a store of its own.
type base struct {
	ID string `json:"id"`
	// Unpacking is another each time that the image is unpacked. Layers of an app
	// rest upon one unpacking alone: they find what is below by links with random names.
	Unpacking string   `json:"unpacking"`
	Names     []string `json:"names"`
	Layers    []layer  `json:"layers"`
}

// layer is one of an image's, named by the digest of its uncompressed form.
type layer struct {
	DiffID string `json:"diff_id"`
	Size   int64  `json:"size"` // bytes, uncompressed
}

func (s *baseStores) init(b *Builder) { s.b, s.used = b, map[string]int{} }

func (s *baseStores) dir(id string) string { return s.b.path("bases", id) }

// Provide has the image that the engine knows by its full name in a store, under
// the name that a Dockerfile has for it. False means that the engine has no such
// image; one that is to stand for another is pulled first. The store is kept until Release.
func (s *baseStores) Provide(ctx context.Context, j *job, full, name string) (base, bool, error) {
	var image daemon.Image
	var err error
	if s.b.options.Engine.Replacement(full) != "" {
		image, err = j.ensure(ctx, full)
	} else if image, err = s.b.options.Engine.Image(ctx, full); errors.Is(err, daemon.ErrNotFound) {
		j.images[full] = ""
		return base{}, false, nil
	}
	if err != nil {
		return base{}, false, err
	}
	j.images[full] = image.ID
	if err := s.filling.Lock(ctx, image.ID); err != nil {
		return base{}, false, err
	}
	defer s.filling.Unlock(image.ID)
	s.mu.Lock()
	s.used[image.ID]++
	s.mu.Unlock()
	got, err := s.fill(ctx, j, image.ID, name)
	if err != nil {
		s.Release(image.ID)
		return base{}, false, fmt.Errorf("base image %s: %w", name, err)
	}
	return got, true, nil
}

// Release ends the use of a store.
func (s *baseStores) Release(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[id]--; s.used[id] <= 0 {
		delete(s.used, id)
	}
}

// Use keeps a store that is there from being collected, until Release.
func (s *baseStores) Use(id string) (base, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got, err := s.read(id)
	if err == nil {
		s.used[id]++
	}
	return got, err
}

func (s *baseStores) read(id string) (base, error) {
	var got base
	text, err := os.ReadFile(filepath.Join(s.dir(id), "base.json"))
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	return got, err
}

func (s *baseStores) write(got base) error {
	text, err := json.Marshal(got)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(s.dir(got.ID), "base.json"), text)
}

func (s *baseStores) fill(ctx context.Context, j *job, id, name string) (base, error) {
	got, err := s.read(id)
	if errors.Is(err, fs.ErrNotExist) {
		got, err = s.unpack(ctx, j, id)
	}
	if err != nil || slices.Contains(got.Names, name) {
		return got, err
	}
	if err := s.unname(ctx, j, name); err != nil {
		return got, err
	}
	if err := s.buildah(ctx, j, id, `buildah tag "$ID" "$NAME"`, map[string]string{"ID": id, "NAME": name}); err != nil {
		return got, err
	}
	got.Names = append(got.Names, name)
	return got, s.write(got)
}

// unpack copies an image out of the engine into a new store.
func (s *baseStores) unpack(ctx context.Context, j *job, id string) (base, error) {
	dir := s.dir(id)
	if err := os.RemoveAll(dir); err != nil {
		return base{}, err
	}
	ids := int(s.b.options.IDMap)
	if err := errors.Join(os.Mkdir(dir, 0o711), makeDir(filepath.Join(dir, "storage"), ids, ids)); err != nil {
		return base{}, err
	}
	archive := filepath.Join(j.work, "base.tar")
	defer func() { _ = os.Remove(archive) }()
	layers, err := s.save(ctx, id, archive)
	if err != nil {
		return base{}, err
	}
	if err := os.Lchown(archive, ids, ids); err != nil {
		return base{}, err
	}
	// With a name of its own, the image stays when it loses all others.
	script := `buildah pull -q docker-archive:/base.tar && buildah tag "$ID" "localhost/towline-base:$ID"`
	err = s.buildah(ctx, j, id, script, map[string]string{"ID": id},
		daemon.Mount{Source: archive, Target: "/base.tar", ReadOnly: true})
	if err != nil {
		return base{}, err
	}
	got := base{ID: id, Unpacking: rand.Text(), Layers: layers}
	return got, s.write(got)
}

// save writes the engine's image to a file and returns its layers.
func (s *baseStores) save(ctx context.Context, id, path string) ([]layer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := s.b.options.Engine.SaveImage(ctx, id, f); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	index, err := readArchiveIndex(f)
	return index.sizes(), errors.Join(err, f.Close())
}

// unname takes a name from the stores of images that had it before.
func (s *baseStores) unname(ctx context.Context, j *job, name string) error {
	entries, err := os.ReadDir(s.b.path("bases"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		other, err := s.read(e.Name())
		if err != nil || !slices.Contains(other.Names, name) {
			continue
		}
		err = s.buildah(ctx, j, other.ID, `buildah rmi "$NAME"`, map[string]string{"NAME": name})
		if err != nil {
			return err
		}
		other.Names = slices.DeleteFunc(other.Names, func(n string) bool { return n == name })
		if err := s.write(other); err != nil {
			return err
		}
	}
	return nil
}

// buildah runs a script in a container that can write the store of id.
func (s *baseStores) buildah(ctx context.Context, j *job, id, script string, env map[string]string, mounts ...daemon.Mount) error {
	spec := j.nested(script, env)
	spec.NoNetwork, spec.Networks = true, nil
	spec.Mounts = append(spec.Mounts, daemon.Mount{Source: filepath.Join(s.dir(id), "storage"), Target: nestedStore})
	spec.Mounts = append(spec.Mounts, mounts...)
	said := newOutput(nil)
	exit, err := j.run(ctx, "base", spec, said)
	if err == nil && exit != 0 {
		err = daemon.Errorf(daemon.Failed, "buildah: %s", said.Cause())
	}
	return err
}

// Collect removes the stores that no app's cache is built upon.
func (s *baseStores) Collect() error {
	apps, err := os.ReadDir(s.b.path("apps"))
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, app := range apps {
		state, err := readAppState(dockerfileCache(s.b, app.Name()))
		if err != nil {
			return err
		}
		for _, under := range state.Bases {
			wanted[under.ID] = true
		}
	}
	stores, err := os.ReadDir(s.b.path("bases"))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, store := range stores {
		if id := store.Name(); !wanted[id] && s.used[id] == 0 {
			// Without the file first: a half-removed store is none.
			errs = append(errs, os.RemoveAll(filepath.Join(s.dir(id), "base.json")), os.RemoveAll(s.dir(id)))
		}
	}
	return errors.Join(errs...)
}
