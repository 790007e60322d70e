package build

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// layout writes an OCI layout as a build would, with the given layers, and
// returns its root.
func layout(t *testing.T, layers ...string) (root *os.Root, blobs string) {
	t.Helper()
	dir := t.TempDir()
	blobs = filepath.Join(dir, "img", "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(text string) descriptor {
		d := digestOf(text)
		if err := os.WriteFile(filepath.Join(blobs, d[7:]), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return descriptor{Digest: d, Size: int64(len(text))}
	}
	m := imageManifest{SchemaVersion: 2, Layers: []descriptor{}}
	diffIDs := []string{}
	for _, l := range layers {
		d := put(l)
		d.MediaType = mediaDockerLayer
		m.Layers = append(m.Layers, d)
		diffIDs = append(diffIDs, digestOf("uncompressed "+l))
	}
	config, _ := json.Marshal(map[string]any{"rootfs": map[string]any{"diff_ids": diffIDs}})
	m.Config = put(string(config))
	manifest, _ := json.Marshal(m)
	index, _ := json.Marshal(map[string]any{"manifests": []descriptor{put(string(manifest))}})
	if err := os.WriteFile(filepath.Join(dir, "img", "index.json"), index, 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, blobs
}

func TestExport(t *testing.T) {
	root, blobs := layout(t, "base", "app", "app")
	known := map[string]int64{digestOf("uncompressed base"): 77}
	if err := os.Truncate(filepath.Join(blobs, digestOf("base")[7:]), 0); err != nil { // a placeholder
		t.Fatal(err)
	}
	e, err := readExport(root, known)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := e.write(&archive); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(&archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		text, rerr := io.ReadAll(r)
		if err != nil || rerr != nil || files[h.Name] != "" {
			t.Fatal(h.Name, err, rerr)
		}
		files[h.Name] = string(text)
	}
	if len(files) != 5 { // oci-layout, index, manifest, configuration, one layer
		t.Errorf("archive holds %d files: %v", len(files), files)
	}
	if strings.Contains(files["index.json"], "annotations") {
		t.Error("the archive names the image")
	}
	var index struct{ Manifests []descriptor }
	var m imageManifest
	if err := json.Unmarshal([]byte(files["index.json"]), &index); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(files["blobs/sha256/"+index.Manifests[0].Digest[7:]]), &m); err != nil {
		t.Fatal(err)
	}
	want := []descriptor{
		{mediaLayer, digestOf("uncompressed base"), 77},
		{mediaLayer + "+gzip", digestOf("app"), 3},
		{mediaLayer + "+gzip", digestOf("app"), 3},
	}
	if fmt.Sprint(m.Layers) != fmt.Sprint(want) {
		t.Errorf("layers %v, want %v", m.Layers, want)
	}
}

// TestExportHostile has a build hand over what it should not.
func TestExportHostile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("base"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tamper := range map[string]func(dir, base string) error{
		"a layer is a link":  func(_, base string) error { return errorsOf(os.Remove(base), os.Symlink(secret, base)) },
		"a layer is a fifo":  func(_, base string) error { return errorsOf(os.Remove(base), syscall.Mkfifo(base, 0o666)) },
		"a layer is missing": func(_, base string) error { return os.Remove(base) },
		"a layer is longer":  func(_, base string) error { return os.WriteFile(base, []byte("longer"), 0o644) },
		"blobs is a link": func(dir, _ string) error {
			return errorsOf(os.Rename(dir+"/img/blobs", dir+"/../elsewhere"), os.Symlink(dir+"/../elsewhere", dir+"/img/blobs"))
		},
		"the index is a link": func(dir, _ string) error {
			return errorsOf(os.Remove(dir+"/img/index.json"), os.Symlink(secret, dir+"/img/index.json"))
		},
		"the index is a directory": func(dir, _ string) error {
			return errorsOf(os.Remove(dir+"/img/index.json"), os.Mkdir(dir+"/img/index.json", 0o755))
		},
		"the index is endless": func(dir, _ string) error { return os.Truncate(dir+"/img/index.json", maxManifest+1) },
		"the index is empty":   func(dir, _ string) error { return os.WriteFile(dir+"/img/index.json", []byte("{}"), 0o644) },
		"the digest leads out": func(dir, _ string) error {
			return os.WriteFile(dir+"/img/index.json", []byte(`{"manifests":[{"digest":"sha256:../../../`+secret+`"}]}`), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			root, blobs := layout(t, "base")
			if err := tamper(root.Name(), filepath.Join(blobs, digestOf("base")[7:])); err != nil {
				t.Fatal(err)
			}
			e, err := readExport(root, nil)
			if err == nil {
				err = e.write(io.Discard)
			}
			if err == nil {
				t.Error("it was accepted")
			}
		})
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestSetEnv: an image's configuration keeps what else it says, and its digest is that of the text.
func TestSetEnv(t *testing.T) {
	for config, want := range map[string]string{
		`{"os":"linux"}`:               `{"config":{"Env":["HOME=/app"]},"os":"linux"}`,
		`{"config":null}`:              `{"config":{"Env":["HOME=/app"]}}`,
		`{"config":{"Env":null}}`:      `{"config":{"Env":["HOME=/app"]}}`,
		`{"config":{"Env":["HOME="]}}`: `{"config":{"Env":["HOME="]}}`,
		`{"config":{"Env":["HOMES=1"],"User":"1001"},"x":{"y":12345678901234567890}}`: `{"config":{"Env":["HOMES=1","HOME=/app"],"User":"1001"},"x":{"y":12345678901234567890}}`,
	} {
		e := &export{config: []byte(config), manifest: imageManifest{Config: descriptor{Digest: digestOf(config), Size: int64(len(config))}}}
		if err := e.setEnv("HOME", "/app"); err != nil {
			t.Fatal(err)
		}
		if string(e.config) != want || e.manifest.Config.Digest != digestOf(want) || e.manifest.Config.Size != int64(len(want)) {
			t.Errorf("%s: %s, %+v", config, e.config, e.manifest.Config)
		}
	}
	if err := (&export{config: []byte(`{"config":[]}`)}).setEnv("HOME", "/app"); err == nil {
		t.Error("a configuration that is a list is taken")
	}
}
