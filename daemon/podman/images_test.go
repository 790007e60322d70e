package podman_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"towline/daemon"
)

func TestImageFacts(t *testing.T) {
	e := newEngine(t)
	image, err := e.Image(t.Context(), testImage)
	if err != nil {
		t.Fatal(err)
	}
	if image.Env["COLOUR"] != "red=blue" || image.User != "app" || image.WorkDir != "/tmp" || image.Labels["made.by"] != "test" ||
		strings.Join(image.Entrypoint, " ") != "/probe" || strings.Join(image.Cmd, " ") != "out hello" ||
		!slices.Equal(image.Exposed, []int{80, 8080}) || !slices.Contains(image.Refs, testImage) || image.Size < 1<<20 || image.ID == "" {
		t.Errorf("%+v", image)
	}
	again, err := e.Image(t.Context(), image.ID)
	if err != nil || again.ID != image.ID {
		t.Errorf("by ID: %+v, %v", again, err)
	}
	rewritten, err := e.EnsureImage(t.Context(), "example.test/rewritten:1", nil)
	if err != nil || rewritten.ID != image.ID {
		t.Errorf("rewritten: %+v, %v", rewritten, err)
	}
	for _, ref := range []string{"towline-test/short", "towline-test/short:latest", "docker.io/towline-test/short", "example.test/untagged"} {
		if short, err := e.Image(t.Context(), ref); err != nil || short.ID != image.ID {
			t.Errorf("rewritten %s: %+v, %v", ref, short, err)
		}
	}
	if other, err := e.Image(t.Context(), "towline-test/short:2"); !errors.Is(err, daemon.ErrNotFound) {
		t.Errorf("another tag: %+v, %v", other, err)
	}
	c := create(t, e, daemon.ContainerSpec{Image: "example.test/rewritten:1"}, "out", "same")
	if out, _, _ := output(t, e, c); out != "same" {
		t.Errorf("ran %q", out)
	}
}

func TestAbsentImage(t *testing.T) {
	e := newEngine(t)
	if _, err := e.Image(t.Context(), "localhost/none:1"); !errors.Is(err, daemon.ErrNotFound) {
		t.Error(err)
	}
	if _, err := e.EnsureImage(t.Context(), "localhost/none:1", nil); !errors.Is(err, daemon.ErrNotFound) {
		t.Error(err)
	}
	if err := e.UntagImage(t.Context(), "localhost/none:1"); err != nil {
		t.Error(err)
	}
	if err := e.SaveImage(t.Context(), "localhost/none:1", new(bytes.Buffer)); err == nil {
		t.Error("saved an absent image")
	}
	if _, err := e.LoadImage(t.Context(), strings.NewReader("not an archive")); err == nil {
		t.Error("loaded nonsense")
	}
}

func TestTagSaveLoad(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	image, err := e.LoadImage(ctx, bytes.NewReader(dockerArchive("localhost/towline-test/"+run+":a", []byte("one of a kind "+run))))
	if err != nil {
		t.Fatal(err)
	}
	a, b := "localhost/towline-test/"+run+":a", "localhost/towline-test/"+run+":b"
	if err := e.TagImage(ctx, image.ID, b); err != nil {
		t.Fatal(err)
	}
	var saved bytes.Buffer
	if err := e.SaveImage(ctx, b, &saved); err != nil {
		t.Fatal(err)
	}
	if err := e.UntagImage(ctx, a); err != nil {
		t.Fatal(err)
	}
	if left, err := e.Image(ctx, image.ID); err != nil || len(left.Refs) != 1 || left.Refs[0] != b {
		t.Errorf("one name left: %+v, %v", left, err)
	}
	if err := e.UntagImage(ctx, b); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Image(ctx, image.ID); !errors.Is(err, daemon.ErrNotFound) {
		t.Errorf("no name left: %v", err)
	}
	loaded, err := e.LoadImage(ctx, &saved)
	if err != nil || loaded.ID != image.ID {
		t.Errorf("loaded %+v, %v", loaded, err)
	}
	if err := e.UntagImage(ctx, b); err != nil {
		t.Fatal(err)
	}
}

func TestUntagImageInUse(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	ref := "localhost/towline-test/" + run + ":used"
	image, err := e.LoadImage(ctx, bytes.NewReader(dockerArchive(ref, []byte("used "+run))))
	if err != nil {
		t.Fatal(err)
	}
	c := create(t, e, daemon.ContainerSpec{Image: image.ID})
	for range 2 {
		if err := e.UntagImage(ctx, ref); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := e.Image(ctx, image.ID); err != nil || len(left.Refs) != 0 {
		t.Errorf("in use: %+v, %v", left, err)
	}
	if err := e.RemoveContainer(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := e.UntagImage(ctx, image.ID); err != nil {
		t.Fatal(err)
	}
}

func TestLoadOCIArchive(t *testing.T) {
	e := newEngine(t)
	image, err := e.LoadImage(t.Context(), bytes.NewReader(ociArchive("")))
	if err != nil {
		t.Fatal(err)
	}
	if image.Env["KIND"] != "oci" {
		t.Errorf("%+v", image)
	}
	if err := e.UntagImage(t.Context(), image.ID); err != nil {
		t.Error(err)
	}
}

// blobs is the smallest image there is.
func blobs() (config, layer, manifest []byte) {
	layer = archive(map[string][]byte{"file": []byte(run)})
	config, _ = json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Env": []string{"KIND=oci"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	descriptor := func(kind string, data []byte) map[string]any {
		return map[string]any{"mediaType": "application/vnd.oci.image." + kind, "digest": digest(data), "size": len(data)}
	}
	manifest, _ = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": descriptor("config.v1+json", config), "layers": []any{descriptor("layer.v1.tar", layer)},
	})
	return config, layer, manifest
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func ociArchive(name string) []byte {
	config, layer, manifest := blobs()
	descriptor := map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(manifest), "size": len(manifest)}
	if name != "" {
		descriptor["annotations"] = map[string]string{"org.opencontainers.image.ref.name": name}
	}
	index, _ := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{descriptor}})
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": index}
	for _, blob := range [][]byte{config, layer, manifest} {
		files["blobs/sha256/"+strings.TrimPrefix(digest(blob), "sha256:")] = blob
	}
	return archive(files)
}

// registry serves the smallest image.
func registry(t *testing.T) (address string) {
	config, layer, manifest := blobs()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v2/":
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			_, _ = w.Write(manifest)
		case strings.HasSuffix(r.URL.Path, digest(config)):
			_, _ = w.Write(config)
		case strings.HasSuffix(r.URL.Path, digest(layer)):
			_, _ = w.Write(layer)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestPull(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	ref := fmt.Sprintf("%s/%s/app:1", registry(t), run)
	image, err := e.PullWithoutTLS(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	if image.Env["KIND"] != "oci" || len(image.Refs) == 0 || image.Refs[0] != ref {
		t.Errorf("%+v", image)
	}
	if err := e.UntagImage(ctx, ref); err != nil {
		t.Fatal(err)
	}
	if _, err := e.EnsureImage(ctx, strings.Replace(ref, "app", "other", 1), nil); err == nil || !strings.Contains(err.Error(), "pull") {
		t.Errorf("a registry that cannot be talked to: %v", err)
	}
}
