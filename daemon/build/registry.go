package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// registry is the small part of a container registry that the lifecycle needs to
// read an app's last image and to write its next. It keeps images on disk:
//
//	blobs/sha256/HEX               layers and configurations
//	uploads/                       blobs on their way in
//	repositories/NAME/_manifests/HEX
//	repositories/NAME/_tags/TAG    holds a digest
//
// It listens only while a build has a session open, on loopback, on a port and
// with a password of that session's own, for that session's repositories alone.
type registry struct {
	dir string

	mu       sync.Mutex
	sessions int
}

func newRegistry(dir string) (*registry, error) {
	r := &registry{dir: dir}
	// What was on its way when the daemon stopped will never arrive.
	err := os.RemoveAll(r.path("uploads"))
	for _, d := range []string{"", "blobs", "blobs/sha256", "uploads", "repositories"} {
		err = errors.Join(err, os.MkdirAll(r.path(d), 0o700))
	}
	return r, err
}

func (r *registry) Close() error { return nil }

func (r *registry) path(elem ...string) string {
	return filepath.Join(append([]string{r.dir}, elem...)...)
}

func (r *registry) blobPath(hex string) string { return r.path("blobs", "sha256", hex) }

// appRepository is where the images of an app are.
func appRepository(app string) string { return "app/" + strings.ToLower(app) }

// RemoveRepository forgets a repository. Its blobs go with the next Collect.
func (r *registry) RemoveRepository(name string) error {
	return os.RemoveAll(r.path("repositories", name))
}

// Manifest returns a manifest by digest or tag; fs.ErrNotExist if there is none.
func (r *registry) Manifest(repository, reference string) (text []byte, digest string, err error) {
	digest = reference
	if _, ok := digestHex(digest); !ok {
		tag, err := os.ReadFile(r.path("repositories", repository, "_tags", reference))
		if err != nil {
			return nil, "", err
		}
		digest = string(tag)
	}
	name, ok := digestHex(digest)
	if !ok {
		return nil, "", fmt.Errorf("registry: bad digest %q: %w", digest, fs.ErrNotExist)
	}
	text, err = os.ReadFile(r.path("repositories", repository, "_manifests", name))
	return text, digest, err
}

// PutManifest stores a manifest under its digest and, unless reference is a
// digest, under that tag.
func (r *registry) PutManifest(repository, reference string, text []byte) (digest string, err error) {
	sum := sha256.Sum256(text)
	name := hex.EncodeToString(sum[:])
	dir := r.path("repositories", repository)
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "_manifests"), 0o700), os.MkdirAll(filepath.Join(dir, "_tags"), 0o700)); err != nil {
		return "", err
	}
	if err := replaceFile(filepath.Join(dir, "_manifests", name), text); err != nil {
		return "", err
	}
	digest = "sha256:" + name
	if _, ok := digestHex(reference); ok {
		return digest, nil
	}
	return digest, replaceFile(filepath.Join(dir, "_tags", reference), []byte(digest))
}

// Collect removes what no tag leads to. It does nothing while a session is open:
// blobs come before the manifest that names them.
func (r *registry) Collect() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions > 0 {
		return nil
	}
	manifests, blobs, err := r.reachable()
	if err != nil {
		return err
	}
	err = filepath.WalkDir(r.path("repositories"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Base(filepath.Dir(path)) != "_manifests" || manifests[path] {
			return err
		}
		return os.Remove(path)
	})
	entries, rerr := os.ReadDir(r.path("blobs", "sha256"))
	err = errors.Join(err, rerr)
	for _, e := range entries {
		if !blobs[e.Name()] {
			err = errors.Join(err, os.Remove(r.blobPath(e.Name())))
		}
	}
	return err
}

// reachable lists the files of tagged manifests and the names of their blobs.
func (r *registry) reachable() (manifests, blobs map[string]bool, err error) {
	manifests, blobs = map[string]bool{}, map[string]bool{}
	err = filepath.WalkDir(r.path("repositories"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Base(filepath.Dir(path)) != "_tags" {
			return err
		}
		repository, err := filepath.Rel(r.path("repositories"), filepath.Dir(filepath.Dir(path)))
		if err != nil {
			return err
		}
		text, digest, err := r.Manifest(repository, entry.Name())
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		var m imageManifest
		if err = errors.Join(err, json.Unmarshal(text, &m)); err != nil {
			return err
		}
		name, _ := digestHex(digest)
		manifests[r.path("repositories", repository, "_manifests", name)] = true
		for _, d := range append(m.Layers, m.Config) {
			name, _ := digestHex(d.Digest)
			blobs[name] = true
		}
		return nil
	})
	return manifests, blobs, err
}
