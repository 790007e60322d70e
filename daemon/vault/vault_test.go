package vault

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towline/daemon"
)

func newVault(t *testing.T) *Vault {
	t.Helper()
	v, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// someTree is a directory with a bit of everything.
func someTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	w := &writer{dir, rand.New(rand.NewPCG(7, 7))}
	for range 200 {
		w.step()
	}
	for _, f := range []func() error{
		func() error { return os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o600) },
		func() error { return os.Chown(filepath.Join(dir, "secret"), 7474, 7474) },
		func() error { return os.Chmod(dir, 0o2770) },
		func() error { return os.Chown(dir, 999, 999) },
	} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestStoreAndLoad(t *testing.T) {
	v, a, b := newVault(t), someTree(t), someTree(t)
	part, err := v.Store(t.Context(), "redis.1", map[string]string{"data": a, "logs": b}, "about")
	if err != nil {
		t.Fatal(err)
	}
	a2, b2 := t.TempDir(), t.TempDir()
	if err := v.Load(t.Context(), "redis.1", part, map[string]string{"data": a2, "logs": b2}); err != nil {
		t.Fatal(err)
	}
	sameTree(t, a, a2)
	sameTree(t, b, b2)
	if err := v.Load(t.Context(), "redis.1", part, map[string]string{"data": t.TempDir()}); err == nil {
		t.Error("a volume that has no directory is dropped in silence")
	}
	if _, err := v.Store(t.Context(), "redis.1", map[string]string{"data": a}, "about"); err == nil {
		t.Error("a backup is stored over another")
	}
}

func TestParts(t *testing.T) {
	v := newVault(t)
	data, err := v.Store(t.Context(), "x.1", map[string]string{"data": t.TempDir()}, "about")
	if err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	if _, err := v.Add(t.Context(), "x.1", "my.dump", func(w io.Writer) error { _, _ = io.WriteString(w, "half"); return boom }); !errors.Is(err, boom) {
		t.Errorf("Add: %v", err)
	}
	dump, err := v.Add(t.Context(), "x.1", "my.dump", func(w io.Writer) error { _, err := io.WriteString(w, "hello"); return err })
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Describe(t.Context(), "x.1", map[string]string{"id": "x.1"}, data, dump); err != nil {
		t.Fatal(err)
	}
	r, err := v.Open(t.Context(), "x.1", dump)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil || string(text) != "hello" {
		t.Errorf("read %q, %v", text, err)
	}
	r.Close()
	names, err := filepath.Glob(filepath.Join(v.Path("x.1"), "*"))
	if err != nil || len(names) != 3 {
		t.Errorf("the folder holds %q", names)
	}
	manifest, err := os.ReadFile(filepath.Join(v.Path("x.1"), manifestName))
	if err != nil || !strings.Contains(string(manifest), dump.SHA256) || !strings.Contains(string(manifest), data.SHA256) {
		t.Errorf("the manifest lacks a sum: %s", manifest)
	}
}

// A byte that flipped, anywhere, is found before anything is written.
func TestDamage(t *testing.T) {
	v := newVault(t)
	part, err := v.Store(t.Context(), "x.1", map[string]string{"data": someTree(t)}, "about")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(v.Path("x.1"), part.File)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, len(whole) / 2, len(whole) - 1, -1} {
		bad := append([]byte(nil), whole...)
		if at < 0 {
			bad = bad[:len(bad)-1]
		} else {
			bad[at] ^= 1
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		dst := t.TempDir()
		err := v.Load(t.Context(), "x.1", part, map[string]string{"data": dst})
		var e *daemon.Error
		if !errors.As(err, &e) || e.Kind != daemon.Failed || !strings.Contains(e.Message, "damaged") {
			t.Errorf("byte %d: %v", at, err)
		}
		if left, _ := os.ReadDir(dst); len(left) > 0 {
			t.Errorf("byte %d: %d files were written", at, len(left))
		}
	}
	if err := v.Delete(t.Context(), "x.1"); err != nil {
		t.Fatal(err)
	}
	if err := v.Load(t.Context(), "x.1", part, nil); !errors.Is(err, daemon.ErrNotFound) {
		t.Errorf("Load of a deleted one: %v", err)
	}
}

func TestDeleteStaysInside(t *testing.T) {
	v := newVault(t)
	for _, id := range []string{"", ".", "..", "../x", "a/b", "/etc"} {
		if err := v.Delete(t.Context(), id); err == nil {
			t.Errorf("Delete(%q) succeeds", id)
		}
	}
	if _, err := os.Stat(v.dir); err != nil {
		t.Error(err)
	}
}

func TestLeftoversGo(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "x.1"+partial, "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
