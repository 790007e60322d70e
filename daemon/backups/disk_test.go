package backups

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"towline/daemon"
)

func TestWalkRootFollowsNoLink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(dir, "a/b"), filepath.Join(dir, "odd\xff"), filepath.Join(outside, "deep")} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "a/b/file"), filepath.Join(dir, "odd\xff/file"), filepath.Join(outside, "deep/secret")} {
		if err := os.WriteFile(path, make([]byte, 64<<10), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var names []string
	err = daemon.WalkRoot(root, func(name string, err error) error {
		names = append(names, name)
		return err
	})
	slices.Sort(names)
	if got, want := strings.Join(names, " "), ". a a/b a/b/file link odd\xff odd\xff/file"; err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if n, err := diskUsage(dir); err != nil || n < 128<<10 || n > 160<<10 {
		t.Errorf("%d bytes, %v", n, err)
	}

	// A link takes the place of a directory between its listing and its reading.
	err = daemon.WalkRoot(root, func(name string, err error) error {
		if name == "a/b" && err == nil {
			err = errors.Join(os.RemoveAll(filepath.Join(dir, name)), os.Symlink(outside, filepath.Join(dir, name)))
		} else if strings.Contains(name, "deep") {
			t.Errorf("visited %s", name)
		}
		return err
	})
	if !daemon.MovedMeanwhile(err) {
		t.Errorf("a directory that became a link: %v", err)
	}
}
