package daemon

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestWalkRootSkips: who visits a name may keep the walk from what is below it, and only that.
func TestWalkRootSkips(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/x/y", "b", "c/x"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var visited []string
	err = WalkRoot(root, func(name string, err error) error {
		visited = append(visited, name)
		if name == "a" || name == "b" {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(visited)
	if want := []string{".", "a", "b", "c", "c/x"}; !slices.Equal(visited, want) {
		t.Errorf("visited %v, want %v", visited, want)
	}
}
