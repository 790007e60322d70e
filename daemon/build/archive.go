package build

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"towline/daemon"
)

const (
	maxManifest = 4 << 20 // bytes of a manifest or an image configuration
	maxLayers   = 1000

	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// descriptor points to a part of an image.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// imageManifest is an OCI or Docker v2 manifest.
type imageManifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType,omitempty"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

// export is an image in a directory that a build wrote. The directory is a
// stranger's: everything in it is checked, and read through a root that no link
// leads out of.
type export struct {
	root     *os.Root
	dir      string // below root, holds blobs/sha256
	config   []byte
	manifest imageManifest
	diffIDs  []string
	known    map[string]int64
}

// readExport reads the image in the OCI layout img below root. Layers whose diff
// id is among known need not be there.
func readExport(root *os.Root, known map[string]int64) (*export, error) {
	e := &export{root: root, dir: "img"}
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	text, err := e.read("img/index.json")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &index); err != nil || len(index.Manifests) != 1 {
		return nil, errors.New("the build exported not one image")
	}
	if text, err = e.blob(index.Manifests[0]); err != nil {
		return nil, err
	}
	return newExport(root, "img", text, known)
}

// newExport is the image of a manifest whose blobs are below dir in root.
func newExport(root *os.Root, dir string, manifest []byte, known map[string]int64) (*export, error) {
	e := &export{root: root, dir: dir, known: known}
	err := json.Unmarshal(manifest, &e.manifest)
	if err != nil {
		return nil, fmt.Errorf("exported manifest: %w", err)
	}
	if e.config, err = e.blob(e.manifest.Config); err != nil {
		return nil, err
	}
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(e.config, &config); err != nil {
		return nil, fmt.Errorf("exported configuration: %w", err)
	}
	e.diffIDs = config.RootFS.DiffIDs
	if len(e.diffIDs) != len(e.manifest.Layers) || len(e.diffIDs) > maxLayers {
		return nil, fmt.Errorf("the exported image has %d layers and %d digests", len(e.manifest.Layers), len(e.diffIDs))
	}
	for i, id := range e.diffIDs {
		l := &e.manifest.Layers[i]
		_, ok := digestHex(id)
		if _, ok2 := digestHex(l.Digest); !ok || !ok2 {
			return nil, fmt.Errorf("the exported image has a layer with digest %q", clipped(l.Digest))
		}
		if size, ok := known[id]; ok {
			*l = descriptor{MediaType: mediaLayer, Digest: id, Size: size}
		} else if strings.HasSuffix(l.MediaType, "tar.gzip") {
			l.MediaType = mediaLayer + "+gzip" // was Docker's name for it
		}
	}
	return e, nil
}

// layers are the image's, with the sizes known here: those of the blobs.
func (e *export) layers() (all []layer) {
	for i, id := range e.diffIDs {
		all = append(all, layer{DiffID: id, Size: e.manifest.Layers[i].Size})
	}
	return all
}

// setEnv gives the image an environment variable, unless it has that already.
func (e *export) setEnv(name, value string) error {
	image, config, env := map[string]json.RawMessage{}, map[string]json.RawMessage{}, []string{}
	err := json.Unmarshal(e.config, &image)
	if text := image["config"]; err == nil && text != nil {
		err = json.Unmarshal(text, &config)
	}
	if text := config["Env"]; err == nil && text != nil {
		err = json.Unmarshal(text, &env)
	}
	if err != nil {
		return fmt.Errorf("exported configuration: %w", err)
	}
	if config == nil { // it was null
		config = map[string]json.RawMessage{}
	}
	if slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") }) {
		return nil
	}
	config["Env"], err = json.Marshal(append(env, name+"="+value))
	if err != nil {
		return err
	}
	if image["config"], err = json.Marshal(config); err != nil {
		return err
	}
	if e.config, err = json.Marshal(image); err != nil {
		return err
	}
	sum := sha256.Sum256(e.config)
	e.manifest.Config.Digest, e.manifest.Config.Size = "sha256:"+hex.EncodeToString(sum[:]), int64(len(e.config))
	return nil
}

// open opens a plain file. What could block or lead elsewhere is refused.
func (e *export) open(name string) (*os.File, int64, error) {
	f, err := e.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("exported image: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("exported image: %s is not a file", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func (e *export) read(name string) ([]byte, error) {
	f, size, err := e.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > maxManifest {
		return nil, fmt.Errorf("exported image: %s is too large", name)
	}
	return io.ReadAll(io.LimitReader(f, maxManifest))
}

// blob reads a small part and checks its digest.
func (e *export) blob(d descriptor) ([]byte, error) {
	want, ok := digestHex(d.Digest)
	if !ok {
		return nil, fmt.Errorf("exported image: bad digest %q", clipped(d.Digest))
	}
	text, err := e.read(e.dir + "/blobs/sha256/" + want)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != want {
		return nil, fmt.Errorf("exported image: %s has another digest", want)
	}
	return text, nil
}

// write writes an OCI archive that holds the image under no name: a name could be
// another image's. Known layers are left out.
func (e *export) write(w io.Writer) error {
	e.manifest.SchemaVersion, e.manifest.MediaType = 2, mediaManifest
	e.manifest.Config.MediaType = mediaConfig
	manifest, err := json.Marshal(e.manifest)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(manifest)
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     mediaIndex,
		"manifests": []descriptor{{
			MediaType: mediaManifest, Digest: "sha256:" + hex.EncodeToString(digest[:]), Size: int64(len(manifest)),
		}},
	})
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	config, _ := digestHex(e.manifest.Config.Digest)
	for _, part := range []struct {
		name string
		text []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", index},
		{"blobs/sha256/" + hex.EncodeToString(digest[:]), manifest},
		{"blobs/sha256/" + config, e.config},
	} {
		if err := tarFile(archive, part.name, int64(len(part.text)), bytes.NewReader(part.text)); err != nil {
			return err
		}
	}
	written := map[string]bool{}
	for i, l := range e.manifest.Layers {
		if _, ok := e.known[e.diffIDs[i]]; ok || written[l.Digest] {
			continue
		}
		written[l.Digest] = true
		if err := e.writeLayer(archive, l); err != nil {
			return err
		}
	}
	return archive.Close()
}

func (e *export) writeLayer(archive *tar.Writer, l descriptor) error {
	name, _ := digestHex(l.Digest)
	f, size, err := e.open(e.dir + "/blobs/sha256/" + name)
	if err != nil {
		return err
	}
	defer f.Close()
	if size != l.Size {
		return fmt.Errorf("exported image: layer %s has %d bytes, not %d", name, size, l.Size)
	}
	return tarFile(archive, "blobs/sha256/"+name, size, f)
}

func tarFile(archive *tar.Writer, name string, size int64, r io.Reader) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := io.CopyN(archive, r, size)
	return err
}

// loadArchive hands the image to the engine, which checks the layers' digests.
func loadArchive(ctx context.Context, engine daemon.Engine, e *export) (daemon.Image, error) {
	r, w := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		var err error
		defer func() {
			w.CloseWithError(err)
			wrote <- err
		}()
		defer daemon.Contain("the export of an image", &err)
		err = e.write(w)
	}()
	image, err := engine.LoadImage(ctx, r)
	r.CloseWithError(io.ErrClosedPipe) // the writer may wait for a reader that gave up
	if werr := <-wrote; werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
		err = werr
	}
	if err != nil {
		return daemon.Image{}, err
	}
	if want, _ := digestHex(e.manifest.Config.Digest); strings.TrimPrefix(image.ID, "sha256:") != want {
		return daemon.Image{}, fmt.Errorf("the engine loaded image %s, not %s", image.ID, want)
	}
	return image, nil
}

// digestHex returns the hexadecimal part of a sha256 digest, which is safe as a
// file name.
func digestHex(digest string) (string, bool) {
	text, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || len(text) != 64 || strings.Trim(text, "0123456789abcdef") != "" {
		return "", false
	}
	return text, true
}
