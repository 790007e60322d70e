package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"towline/daemon"
)

// Media types of Docker's image format, version 2 schema 2. The run image has to
// be in this one: an app's image follows it, and one of mixed kind can't be put
// on another run image later.
const (
	mediaDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaDockerConfig   = "application/vnd.docker.container.image.v1+json"
	mediaDockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

const runTag = "latest"

// runRepository is where a run image is in the registry.
func runRepository(id string) string { return "run/" + strings.TrimPrefix(id, "sha256:") }

// provideRunImage has the engine's image in the registry.
func (j *job) provideRunImage(ctx context.Context, image daemon.Image) error {
	if err := j.b.bases.filling.Lock(ctx, "run "+image.ID); err != nil {
		return err
	}
	defer j.b.bases.filling.Unlock("run " + image.ID)
	repository := runRepository(image.ID)
	_, _, err := j.b.registry.Manifest(repository, runTag)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	j.out.Stage("Preparing the run image (only the first time)")
	path := filepath.Join(j.work, "run.tar")
	defer func() { _ = os.Remove(path) }()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := j.b.options.Engine.SaveImage(ctx, image.ID, f); err != nil {
		return err
	}
	manifest, err := j.b.registry.importArchive(f)
	if err != nil {
		return fmt.Errorf("run image: %w", err)
	}
	_, err = j.b.registry.PutManifest(repository, runTag, manifest)
	return err
}

// forgetOtherRunImages drops all run images but the one in use now. What apps'
// images need of them they name themselves.
func (r *registry) forgetOtherRunImages(id string) error {
	entries, err := os.ReadDir(r.path("repositories", "run"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := "run/" + e.Name(); name != runRepository(id) {
			err = errors.Join(err, r.RemoveRepository(name))
		}
	}
	return err
}

// importArchive stores the blobs of the one image in a docker archive, layers
// compressed, and returns a manifest for it.
func (r *registry) importArchive(f io.ReadSeeker) ([]byte, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	index, err := readArchiveIndex(f)
	if err != nil {
		return nil, err
	}
	blobs := map[string]descriptor{}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, name := range index.layers {
		wanted[name] = true
	}
	archive := tar.NewReader(f)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if wanted[header.Name] && header.Typeflag == tar.TypeReg {
			if blobs[header.Name], err = r.putLayer(archive); err != nil {
				return nil, err
			}
		}
	}
	config, err := r.putBlob(mediaDockerConfig, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(index.config))
		return err
	})
	if err != nil {
		return nil, err
	}
	manifest := imageManifest{SchemaVersion: 2, MediaType: mediaDockerManifest, Config: config}
	for _, name := range index.layers {
		blob, ok := blobs[name]
		if !ok {
			return nil, fmt.Errorf("the archive lacks layer %s", name)
		}
		manifest.Layers = append(manifest.Layers, blob)
	}
	return json.Marshal(manifest)
}

func (r *registry) putLayer(layer io.Reader) (descriptor, error) {
	return r.putBlob(mediaDockerLayer, func(w io.Writer) error {
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			return err
		}
		_, err = io.Copy(z, layer)
		return errors.Join(err, z.Close())
	})
}

// putBlob stores what write writes.
func (r *registry) putBlob(mediaType string, write func(io.Writer) error) (descriptor, error) {
	f, err := os.CreateTemp(r.path("uploads"), "")
	if err != nil {
		return descriptor{}, err
	}
	defer func() { _ = os.Remove(f.Name()) }() // nothing once it was renamed
	sum := sha256.New()
	err = write(io.MultiWriter(f, sum))
	size, serr := f.Seek(0, io.SeekCurrent)
	if err := errors.Join(err, serr, f.Close()); err != nil {
		return descriptor{}, err
	}
	name := hex.EncodeToString(sum.Sum(nil))
	return descriptor{MediaType: mediaType, Digest: "sha256:" + name, Size: size}, os.Rename(f.Name(), r.blobPath(name))
}
