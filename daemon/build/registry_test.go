package build

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// client is the library that the lifecycle talks to registries with.
func client(t *testing.T, s *session, repository string) (name.Reference, []remote.Option) {
	t.Helper()
	ref, err := name.ParseReference(s.Address + "/" + repository + ":latest")
	if err != nil {
		t.Fatal(err)
	}
	return ref, []remote.Option{remote.WithContext(t.Context()), remote.WithAuth(&authn.Basic{Username: s.User, Password: s.Password})}
}

func openSession(t *testing.T, r *registry, write string, read ...string) *session {
	t.Helper()
	s, err := r.Open(write, read...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.server.Close() })
	return s
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(10_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	return mutate.MediaType(image, types.DockerManifestSchema2)
}

func TestRegistry(t *testing.T) {
	dir := t.TempDir()
	r, err := newRegistry(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := openSession(t, r, "app/shop", "run/x")
	ref, options := client(t, s, "app/shop")
	if _, err := remote.Get(ref, options...); err == nil {
		t.Error("an empty registry has an image")
	}
	first, second := randomImage(t), randomImage(t)
	if err := remote.Write(ref, first, options...); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	// A new daemon has what the old one took.
	if r, err = newRegistry(dir); err != nil {
		t.Fatal(err)
	}
	s = openSession(t, r, "app/shop")
	ref, options = client(t, s, "app/shop")
	same(t, ref, options, first)
	if err := remote.Write(ref, second, options...); err != nil {
		t.Fatal(err)
	}
	if err := r.Collect(); err != nil {
		t.Error(err)
	}
	if got := blobCount(t, r); got != 8 {
		t.Errorf("%d blobs: a session is open, so none may go", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := r.Collect(); err != nil {
		t.Error(err)
	}
	if got := blobCount(t, r); got != 4 {
		t.Errorf("%d blobs, want those of the second image alone", got)
	}
	s = openSession(t, r, "app/shop")
	ref, options = client(t, s, "app/shop")
	same(t, ref, options, second)
	s.Close()
	if err := errors.Join(r.RemoveRepository("app/shop"), r.Collect()); err != nil {
		t.Error(err)
	}
	if got := blobCount(t, r); got != 0 {
		t.Errorf("%d blobs of an app that is gone", got)
	}
}

func same(t *testing.T, ref name.Reference, options []remote.Option, want v1.Image) {
	t.Helper()
	got, err := remote.Image(ref, options...)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := got.Layers()
	if err != nil || len(layers) != 3 {
		t.Fatalf("%d layers, error %v", len(layers), err)
	}
	for _, l := range layers {
		r, err := l.Compressed() // checks the digest as it reads
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Error(err)
		}
		r.Close()
	}
	a, _ := got.Digest()
	b, _ := want.Digest()
	if a != b {
		t.Errorf("got image %s, want %s", a, b)
	}
}

func blobCount(t *testing.T, r *registry) int {
	t.Helper()
	entries, err := os.ReadDir(r.path("blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestRegistryRefuses(t *testing.T) {
	r, err := newRegistry(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other := openSession(t, r, "app/other")
	otherRef, otherOptions := client(t, other, "app/other")
	if err := remote.Write(otherRef, randomImage(t), otherOptions...); err != nil {
		t.Fatal(err)
	}
	s := openSession(t, r, "app/shop", "run/x")
	for _, test := range []struct {
		method, path, password, body string
		want                         int
	}{
		{"GET", "/v2/", "", "", 401},
		{"GET", "/v2/", "guess", "", 401},
		{"GET", "/v2/", other.Password, "", 401},
		{"GET", "/v2/", s.Password, "", 200},
		{"GET", "/v2/app/other/manifests/latest", s.Password, "", 403},
		{"PUT", "/v2/app/other/manifests/latest", s.Password, "{}", 403},
		{"PUT", "/v2/run/x/manifests/latest", s.Password, "{}", 403},
		{"POST", "/v2/run/x/blobs/uploads/", s.Password, "", 403},
		{"GET", "/v2/app/shop/manifests/latest", s.Password, "", 404},
		{"GET", "/v2/app/shop/manifests/..", s.Password, "", 404},
		{"GET", "/v2/app/shop/blobs/..", s.Password, "", 400},
		{"GET", "/v2/app/shop/blobs/sha256:" + strings.Repeat("0", 64), s.Password, "", 404},
		{"GET", "/v2/../../etc/manifests/passwd", s.Password, "", 404},
		{"GET", "/v2/app/shop/../other/manifests/latest", s.Password, "", 403},
		{"GET", "/v2/_catalog", s.Password, "", 404},
		{"DELETE", "/v2/app/shop/manifests/latest", s.Password, "", 405},
		{"PUT", "/v2/app/shop/manifests/latest", s.Password, "no JSON", 400},
		{"PUT", "/v2/app/shop/manifests/latest", s.Password, `{"config":{"digest":"sha256:` + strings.Repeat("0", 64) + `"}}`, 404},
		{"PATCH", "/v2/app/shop/blobs/uploads/none", s.Password, "x", 404},
		{"PUT", "/v2/app/shop/blobs/uploads/none?digest=x", s.Password, "x", 404},
	} {
		if got := call(t, s, test.method, test.path, test.password, test.body).StatusCode; got != test.want {
			t.Errorf("%s %s: status %d, want %d", test.method, test.path, got, test.want)
		}
	}
	// An upload under another digest than its own is not kept.
	began := call(t, s, "POST", "/v2/app/shop/blobs/uploads/", s.Password, "")
	wrong := digestOf("something else")
	ended := call(t, s, "PUT", began.Header.Get("Location")+"?digest="+wrong, s.Password, "text")
	if began.StatusCode != 202 || ended.StatusCode != 400 {
		t.Errorf("an upload with a wrong digest: %d, %d", began.StatusCode, ended.StatusCode)
	}
	if _, err := os.Stat(r.blobPath(wrong[7:])); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was kept: %v", err)
	}
	call(t, s, "POST", "/v2/app/shop/blobs/uploads/", s.Password, "")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(r.path("uploads")); err != nil || len(entries) > 0 {
		t.Errorf("left of uploads: %v, %v", entries, err)
	}
}

func call(t *testing.T, s *session, method, path, password, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Address, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Path, req.URL.RawQuery, _ = strings.Cut(path, "?")
	if password != "" {
		req.SetBasicAuth(s.User, password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}
