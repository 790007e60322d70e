package vault

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"towline/daemon"
)

// sparse makes a file of a size that holds a word in the middle and at a block's end.
func sparse(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, at := range []int64{size / 2, size/4 - 3} {
		if _, err := f.WriteAt([]byte("middle"), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
}

func room(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// TestHolesAreKept: a file that takes no room takes none in a copy and none when a
// backup is unpacked.
func TestHolesAreKept(t *testing.T) {
	const size = 80<<20 + 12345
	src, copied, unpacked := t.TempDir(), t.TempDir(), t.TempDir()
	sparse(t, filepath.Join(src, "s"), size)
	if err := os.WriteFile(filepath.Join(src, "zeros"), make([]byte, 3*blockSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	v := newVault(t)
	m := v.Mirror(map[string]string{src: copied})
	for range 2 {
		if _, err := m.Pass(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		sameTree(t, src, copied)
	}
	part, err := v.Store(t.Context(), "a.1", map[string]string{"data": copied}, "about")
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Load(t.Context(), "a.1", part, map[string]string{"data": unpacked}); err != nil {
		t.Fatal(err)
	}
	sameTree(t, src, unpacked)
	for _, dir := range []string{src, copied, unpacked} {
		if n := room(t, filepath.Join(dir, "s")); n > 1<<20 {
			t.Errorf("a file with two words in it takes %d bytes in %s", n, dir)
		}
	}
	// What was data and is a hole now is one in the copy too, to those who read it.
	if err := os.Truncate(filepath.Join(src, "s"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(src, "s"), size); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Pass(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	sameTree(t, src, copied)
}

// TestTooManyHoles: a file of terabytes that takes no room is refused before anything
// is set aside for it.
func TestTooManyHoles(t *testing.T) {
	for _, sizes := range [][]int64{{15 << 40}, {maxHoles / 2, maxHoles/2 + 1<<20, 1 << 20}} {
		src, dst := t.TempDir(), t.TempDir()
		for i, size := range sizes {
			sparse(t, filepath.Join(src, string(rune('a'+i))), size)
		}
		_, err := (&Vault{}).Mirror(map[string]string{src: dst}).Pass(t.Context(), false)
		if err == nil || !strings.Contains(err.Error(), "holes of more than 64 GB") {
			t.Errorf("%v: %v", sizes, err)
		}
		if e, ok := err.(*daemon.Error); ok && e.Kind != daemon.Failed {
			t.Errorf("%v: %v", sizes, e.Kind)
		}
	}
}
