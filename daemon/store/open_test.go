package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/store"
)

func TestLoadKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	key, err := store.LoadKey(path)
	if err != nil || len(key) != store.KeySize {
		t.Fatalf("got %d bytes, %v", len(key), err)
	}
	again, err := store.LoadKey(path)
	if err != nil || !bytes.Equal(key, again) {
		t.Errorf("the second time: another key, or %v", err)
	}
	if len(files(t, dir)) != 1 { // modes are checked too
		t.Errorf("left in the directory: %v", files(t, dir))
	}

	refused := func(words string) {
		t.Helper()
		if _, err := store.LoadKey(path); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want an error with %q", err, words)
		}
	}
	os.Chmod(path, 0o640)
	refused("mode 0640")
	os.Chmod(path, 0o600)
	os.WriteFile(path, key[:31], 0o600)
	refused("31 bytes")
	os.WriteFile(path, nil, 0o600)
	refused("0 bytes")
}

func TestOpenRefuses(t *testing.T) {
	open1 := func(path string, key []byte) error {
		s, err := store.Open(t.Context(), path, key)
		if err == nil {
			err = s.Close()
		}
		return err
	}
	key, other := bytes.Repeat([]byte{1}, store.KeySize), bytes.Repeat([]byte{2}, store.KeySize)
	refused := func(path string, key []byte, words string) {
		t.Helper()
		if err := open1(path, key); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("got %v, want an error with %q", err, words)
		}
	}
	path := filepath.Join(t.TempDir(), "a ?strange#100%name.db")
	if err := open1(path, key); err != nil {
		t.Fatal(err)
	}
	if err := open1(path, key); err != nil {
		t.Fatalf("the second time: %v", err)
	}
	os.Chmod(path, 0o644)
	if err := open1(path, key); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	refused(path, other, "sealed with another key")
	refused(path, key[:16], "16 bytes")
	refused(filepath.Join(t.TempDir(), "no", "such.db"), key, "no such file")

	junk := filepath.Join(t.TempDir(), "junk.db")
	os.WriteFile(junk, bytes.Repeat([]byte("junk"), 2000), 0o600)
	refused(junk, key, "not a database")

	raw(t, path, "PRAGMA user_version = 1000")
	refused(path, key, "newer version")
	var version int
	db := rawOpen(t, path)
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil || version != 1000 {
		t.Errorf("the newer database was changed: version %d, %v", version, err)
	}
}

// TestMovedSecrets swaps sealed values between rows and columns behind the
// store's back: none opens in its new place.
func TestMovedSecrets(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	config := map[string]string{"A": "1"}
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop", Config: config}), tx.InsertApp(daemon.App{Name: "blog"}),
			tx.InsertRelease(&daemon.Release{App: "shop"}), tx.InsertAddon(daemon.Addon{Name: "shop"}),
			tx.InsertOperation(&daemon.Operation{}), tx.InsertOperation(&daemon.Operation{}))
	})
	s.Close()
	raw(t, filepath.Join(dir, "towline.db"), `
		UPDATE releases SET sealed_config = (SELECT sealed_config FROM apps WHERE name = 'shop');
		UPDATE addons SET sealed_secrets = (SELECT sealed_config FROM apps WHERE name = 'shop');
		UPDATE apps SET sealed_config = (SELECT sealed_config FROM apps WHERE name = 'shop') WHERE name = 'blog';
		UPDATE operations SET sealed_data = (SELECT sealed_data FROM operations WHERE id = 1)`)
	s = open(t, dir)
	err := s.View(t.Context(), func(tx daemon.Tx) error {
		if shop, err := tx.App("shop"); err != nil || shop.Config["A"] != "1" {
			t.Errorf("in its own place: %v, %v", shop, err)
		}
		_, err1 := tx.App("blog")
		_, err2 := tx.Release("shop", 1)
		_, err3 := tx.Addon("shop")
		_, err4 := tx.Operations()
		for i, err := range []error{err1, err2, err3, err4} {
			if err == nil || !strings.Contains(err.Error(), "moved outside Towline") {
				t.Errorf("%d: got %v, want that it does not open", i+1, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func rawOpen(t *testing.T, path string) *sql.DB {
	t.Helper()
	escaped := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	db, err := sql.Open("sqlite", "file:"+escaped)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func raw(t *testing.T, path, statements string) {
	t.Helper()
	db := rawOpen(t, path)
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), statements); err != nil {
		t.Fatal(err)
	}
}
