package vault

import (
	"os"
	"path/filepath"
	"testing"
)

// A service may put a link in the place of a directory while its volume is walked: what is
// outside must not get into a copy that its members can download.
func TestMirrorDoesNotFollowLinksOut(t *testing.T) {
	src, outside, dst := t.TempDir(), t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("of the host's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(src, "dir")); err != nil { // a directory when it was listed
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(src, "file")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(src)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	w := &walk{m: &Mirror{files: map[string]*file{}}, seen: map[string]bool{}, ctx: t.Context()}
	for name, visit := range map[string]func(name, dst string) error{
		"dir/secret": func(name, dst string) error { _, err := w.entry(root, name, dst); return err },
		"file":       func(name, dst string) error { return w.regular(root, name, dst) }, // a file when it was looked at
	} {
		err := visit(name, filepath.Join(dst, "copy"))
		if err == nil || !w.gone(err) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(filepath.Join(dst, "copy")); err == nil {
			t.Errorf("%s: copied %q", name, got)
		}
	}
}
