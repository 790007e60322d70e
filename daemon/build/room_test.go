package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"towline/daemon"
)

type noEngine struct{ daemon.Engine }

// TestRoom: caches stay within their budget, those that were used last for longest; and a
// build that would find less than the reserve is refused before it has done anything.
func TestRoom(t *testing.T) {
	b, err := New(Options{Engine: noEngine{}, Name: "test", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	fill := func() {
		for i, app := range []string{"new", "old", "busy", "own"} {
			dir := b.path("apps", app)
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "layer"), make([]byte, 1<<20), 0o644)); err != nil {
				t.Fatal(err)
			}
			used := time.Now().Add(-time.Duration(i) * time.Hour)
			if err := os.Chtimes(dir, used, used); err != nil {
				t.Fatal(err)
			}
		}
	}
	left := func() (names []string) {
		entries, err := os.ReadDir(b.path("apps"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	if err := b.apps.Lock(t.Context(), "busy"); err != nil {
		t.Fatal(err)
	}
	fill()
	if err := b.trim(t.Context(), 3<<20+512<<10, "own"); err != nil {
		t.Fatal(err)
	}
	if got := left(); !slices.Equal(got, []string{"busy", "new", "own"}) {
		t.Errorf("over the budget by one: %v are left", got)
	}
	fill()
	b.options.Room = Room{Dirs: func(context.Context) []string { return []string{b.options.Dir} }, Reserve: 1 << 60}
	_, err = b.Build(t.Context(), daemon.BuildRequest{ID: "own-1", App: "own", Source: t.TempDir(), Image: "x"}, nil)
	if daemonKind(err) != daemon.Conflict {
		t.Errorf("with too little free: %v", err)
	}
	if got := left(); !slices.Equal(got, []string{"busy", "own"}) {
		t.Errorf("to make room: %v are left", got)
	}
	if entries, err := os.ReadDir(b.path("work")); err != nil || len(entries) > 0 {
		t.Errorf("the refused build left %v, %v", entries, err)
	}
}

func daemonKind(err error) daemon.Kind {
	var e *daemon.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}
