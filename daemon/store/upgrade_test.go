package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/store"
)

var writeFixture = flag.Bool("fixture", false, "write the fixture of the newest schema")

// fixtureKey sealed what is in the fixtures.
var fixtureKey = bytes.Repeat([]byte{7}, store.KeySize)

// schemas is how many there have been.
func schemas(t *testing.T) int {
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return len(files)
}

func fixture(schema int) string { return fmt.Sprintf("testdata/schema-%04d.sql", schema) }

// old makes a database of an earlier schema in a directory of its own.
func old(t *testing.T, schema int, more string) (path string) {
	t.Helper()
	text, err := os.ReadFile(fixture(schema))
	if err != nil {
		t.Fatalf("every schema has a fixture, to be kept for ever: %v; go test ./daemon/store -run Fixture -fixture", err)
	}
	path = filepath.Join(t.TempDir(), "towline.db")
	raw(t, path, string(text)+more)
	return path
}

// TestUpgradeFromEverySchema: what any version of Towline has written is read by this one.
func TestUpgradeFromEverySchema(t *testing.T) {
	for schema := 1; schema <= schemas(t); schema++ {
		t.Run(fmt.Sprint(schema), func(t *testing.T) {
			path := old(t, schema, "")
			before := sum(t, path)
			if err := store.Rehearse(t.Context(), path); err != nil {
				t.Fatal(err)
			}
			if sum(t, path) != before {
				t.Error("a rehearsal has changed the database")
			}
			only(t, path, "towline.db")
			s, err := store.Open(t.Context(), path, fixtureKey)
			if err != nil {
				t.Fatal(err)
			}
			err = s.View(t.Context(), func(tx daemon.Tx) error {
				app, err := tx.App("shop")
				if err != nil || app.Config["SECRET"] != "hunter2" || app.Formation["web"] != 2 || app.Owner != "ada" {
					t.Errorf("app %+v, %v", app, err)
				}
				release, err := tx.Release("shop", 1)
				if err != nil || release.Config["SECRET"] != "hunter1" {
					t.Errorf("release %+v, %v", release, err)
				}
				addon, err := tx.Addon("redis-shop")
				if err != nil || addon.Secrets["password"] != "s3cret" || addon.App != "shop" {
					t.Errorf("add-on %+v, %v", addon, err)
				}
				keys, err := tx.Keys()
				if err != nil || len(keys) != 1 || keys[0].Member != "ada" {
					t.Errorf("keys %+v, %v", keys, err)
				}
				return nil
			})
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			if schema == schemas(t) {
				only(t, path, "towline.db")
				return
			}
			only(t, path, "towline.db", fmt.Sprintf("towline.db.schema-%d", schema))
			if kept := sum(t, fmt.Sprintf("%s.schema-%d", path, schema)); kept != before {
				t.Error("what is kept is not what was there")
			}
		})
	}
}

// TestUpgradeThatFails: the version that made the database finds it as it was.
func TestUpgradeThatFails(t *testing.T) {
	path := old(t, 3, "CREATE TABLE openings (in_the_way TEXT);") // migration 4 makes one
	before := sum(t, path)
	for range 2 {
		_, err := store.Open(t.Context(), path, fixtureKey)
		if err == nil || !strings.Contains(err.Error(), "0004_openings") {
			t.Errorf("opened, or %v", err)
		}
		if err := store.Rehearse(t.Context(), path); err == nil || !strings.Contains(err.Error(), "0004_openings") {
			t.Errorf("rehearsed, or %v", err)
		}
		if sum(t, path) != before {
			t.Error("the database has changed")
		}
		only(t, path, "towline.db")
	}
}

// TestUpgradeCutShort: what a kill leaves is in nobody's way.
func TestUpgradeCutShort(t *testing.T) {
	path := old(t, 3, "")
	for _, name := range []string{path + ".next", path + ".next-wal", path + ".rehearsal"} {
		if err := os.WriteFile(name, []byte("half of it"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Rehearse(t.Context(), path); err != nil {
		t.Error(err)
	}
	s, err := store.Open(t.Context(), path, fixtureKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	only(t, path, "towline.db", "towline.db.schema-3")
}

// TestRehearseWhileInUse: the version of before serves on meanwhile.
func TestRehearseWhileInUse(t *testing.T) {
	s := open(t, t.TempDir())
	dir := t.TempDir()
	if err := store.Rehearse(t.Context(), filepath.Join(dir, "none.db")); err != nil {
		t.Errorf("nothing there: %v", err)
	}
	update(t, s, func(tx daemon.Tx) error { return tx.InsertApp(daemon.App{Name: "shop"}) })
	path := old(t, 2, "")
	in := rawOpen(t, path)
	if _, err := in.Exec("PRAGMA journal_mode=wal; UPDATE apps SET owner = 'eve'"); err != nil {
		t.Fatal(err)
	}
	if err := store.Rehearse(t.Context(), path); err != nil {
		t.Error(err)
	}
	raw(t, path, "PRAGMA user_version = 1000")
	if err := store.Rehearse(t.Context(), path); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("newer state: %v", err)
	}
}

func sum(t *testing.T, path string) [32]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(text)
}

// only wants nothing else in the database's directory.
func only(t *testing.T, path string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	equal(t, "files", have, names)
}

// TestFixture writes the fixture of the newest schema when asked to. It is never written
// again once that schema was released.
func TestFixture(t *testing.T) {
	if !*writeFixture {
		t.Skip("-fixture writes one")
	}
	path := filepath.Join(t.TempDir(), "towline.db")
	s, err := store.Open(t.Context(), path, fixtureKey)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx daemon.Tx) error {
		return all(
			tx.InsertMember(daemon.Member{Name: "ada", Admin: true}),
			tx.InsertKey(daemon.MemberKey{Member: "ada", Fingerprint: "SHA256:x", Key: "ssh-ed25519 AAAA ada"}),
			tx.InsertApp(daemon.App{Name: "shop", Owner: "ada", Config: map[string]string{"SECRET": "hunter2"}, Formation: daemon.Formation{"web": 2}}),
			tx.InsertRelease(&daemon.Release{App: "shop", Config: map[string]string{"SECRET": "hunter1"}}),
			tx.InsertBuild(&daemon.Build{App: "shop", Status: daemon.BuildSucceeded, Member: "ada", Commit: "0123", Release: 1}),
			tx.InsertTestRun(&daemon.TestRun{App: "shop", ID: "abc", Status: daemon.TestSucceeded, Member: "ada", Branch: "topic", Nodes: []daemon.TestNode{{Status: daemon.TestSucceeded}}}),
			tx.InsertAddon(daemon.Addon{Name: "redis-shop", App: "shop", Service: "redis", Secrets: map[string]string{"password": "s3cret"}}),
			tx.InsertAttachment(daemon.AddonAttachment{Addon: "redis-shop", App: "shop", Vars: []string{"REDISCLOUD_URL"}}),
			tx.InsertBackup(daemon.Backup{ID: "redis-shop.1", Addon: "redis-shop", App: "shop", Service: "redis"}),
		)
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := dump(t, path, fixture(schemas(t))); err != nil {
		t.Fatal(err)
	}
}

// dump writes a database as SQL.
func dump(t *testing.T, path, file string) error {
	db := rawOpen(t, path)
	var b strings.Builder
	for _, part := range []string{"table", "index"} {
		rows, err := db.Query("SELECT name, sql FROM sqlite_schema WHERE type = ? AND sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid", part)
		if err != nil {
			return err
		}
		var names []string
		for rows.Next() {
			var name, text string
			if err := rows.Scan(&name, &text); err != nil {
				return err
			}
			names = append(names, name)
			fmt.Fprintf(&b, "%s;\n", text)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		if part != "table" {
			continue
		}
		for _, name := range names {
			if err := dumpRows(&b, t, path, name); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(&b, "PRAGMA user_version = %d;\n", schemas(t))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

func dumpRows(b *strings.Builder, t *testing.T, path, table string) error {
	db := rawOpen(t, path)
	var columns []string
	rows, err := db.Query("SELECT name FROM pragma_table_info(?)", table)
	if err != nil {
		return err
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		columns = append(columns, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	rows, err = db.Query(fmt.Sprintf("SELECT quote(%s) FROM %s", strings.Join(columns, ") || ', ' || quote("), table))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var values string
		if err := rows.Scan(&values); err != nil {
			return err
		}
		fmt.Fprintf(b, "INSERT INTO %s (%s) VALUES (%s);\n", table, strings.Join(columns, ", "), values)
	}
	return rows.Err()
}
