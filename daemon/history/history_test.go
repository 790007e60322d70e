package history

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

func at(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

func open(t *testing.T, path string) (*History, *bytes.Buffer) {
	t.Helper()
	var said bytes.Buffer
	h := New(path, slog.New(slog.NewTextHandler(&said, nil)))
	t.Cleanup(func() { _ = h.Close() })
	return h, &said
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *History) has(t *testing.T, level int, want ...daemon.Measured) {
	t.Helper()
	got, err := h.Get(t.Context(), level, at(0), at(1<<39))
	if err != nil || len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("level %d has %v, %v; want %v", level, got, err, want)
	}
}

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.db")
	h, said := open(t, path)
	ctx := t.Context()
	if newest, err := h.Newest(ctx, 1); err != nil || !newest.IsZero() {
		t.Errorf("empty: %v, %v", newest, err)
	}
	h.has(t, 1)
	for _, second := range []int64{60, 180, 120} {
		must(t, h.Put(ctx, 1, at(second), []byte{byte(second)}))
	}
	must(t, h.Put(ctx, 2, at(0), []byte{2}))
	must(t, h.Put(ctx, 1, at(60), []byte{61})) // in place of what there was
	m := func(second int64, data byte) daemon.Measured {
		return daemon.Measured{Time: at(second), Data: []byte{data}}
	}
	h.has(t, 1, m(60, 61), m(120, 120), m(180, 180))
	if got, err := h.Get(ctx, 1, at(120), at(180)); err != nil || !reflect.DeepEqual(got, []daemon.Measured{m(120, 120)}) {
		t.Errorf("a part: %v, %v", got, err)
	}
	if newest, err := h.Newest(ctx, 1); err != nil || !newest.Equal(at(180)) {
		t.Errorf("newest: %v, %v", newest, err)
	}
	must(t, h.Forget(ctx, 1, at(180)))
	h.has(t, 1, m(180, 180))
	h.has(t, 2, m(0, 2))
	must(t, h.Close())
	again, _ := open(t, path)
	again.has(t, 1, m(180, 180))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || said.Len() > 0 {
		t.Errorf("%v, %v, %s", info.Mode(), err, said)
	}
}

// A file that is none of SQLite's, or was damaged, is set aside; what comes is kept.
func TestBrokenFile(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"rubbish": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("rubbish"), 10_000), 0o600) },
		"damaged": func(path string) error {
			text, err := os.ReadFile(path)
			if err == nil {
				for i := 100; i < len(text); i++ {
					text[i] = 0xff
				}
				err = os.WriteFile(path, text, 0o600)
			}
			return err
		},
		"another's": func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "metrics.db")
			h, _ := open(t, path)
			must(t, h.Put(t.Context(), 1, at(60), bytes.Repeat([]byte{1}, 10_000)))
			must(t, h.Close())
			must(t, spoil(path))
			h, said := open(t, path)
			must(t, h.Put(t.Context(), 1, at(120), []byte{2}))
			h.has(t, 1, daemon.Measured{Time: at(120), Data: []byte{2}})
			_, err := os.Stat(path + ".broken")
			if aside := name != "another's"; aside != (err == nil) || aside != strings.Contains(said.String(), "set aside") {
				t.Errorf("set aside: %v, said: %s", err, said)
			}
		})
	}
}

// Damage that shows while the file is open is no end either.
func TestBreaksWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.db")
	h, said := open(t, path)
	for i := range 50 {
		must(t, h.Put(t.Context(), 1, at(int64(60*i)), bytes.Repeat([]byte{1}, 5_000)))
	}
	if _, err := h.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	info, err := f.Stat()
	must(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, int(info.Size())-4096), 4096)
	must(t, err)
	must(t, f.Close())
	_, err = h.db.Exec("PRAGMA shrink_memory")
	must(t, err)
	if _, err := h.Get(t.Context(), 1, at(0), at(1<<39)); err != nil {
		t.Fatal(err)
	}
	must(t, h.Put(t.Context(), 1, at(60), []byte{2}))
	h.has(t, 1, daemon.Measured{Time: at(60), Data: []byte{2}})
	if !strings.Contains(said.String(), "set aside") {
		t.Errorf("said: %s", said)
	}
}

// Where no file can be is an error, and nothing is said to be broken.
func TestNoPlace(t *testing.T) {
	h, said := open(t, filepath.Join(t.TempDir(), "none", "metrics.db"))
	if err := h.Put(t.Context(), 1, at(60), nil); err == nil || said.Len() > 0 {
		t.Errorf("%v, %s", err, said)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h, said = open(t, filepath.Join(t.TempDir(), "metrics.db"))
	if _, err := h.Newest(ctx, 1); err == nil || said.Len() > 0 {
		t.Errorf("%v, %s", err, said)
	}
}
