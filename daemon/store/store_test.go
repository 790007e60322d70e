package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/store"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), filepath.Join(dir, "towline.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func update(t *testing.T, s *store.Store, f func(daemon.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// view returns what f reads.
func view[T any](t *testing.T, s *store.Store, f func(daemon.Tx) (T, error)) (v T) {
	t.Helper()
	err := s.View(t.Context(), func(tx daemon.Tx) (err error) {
		v, err = f(tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// all does the steps in one transaction, in order.
func all(steps ...error) error { return errors.Join(steps...) }

// filled returns a T whose every field, however deep, has a value of its own, so
// that a field that the store forgets is noticed as soon as it is added.
func filled[T any](seed int) (v T) {
	n := seed * 1000
	fill(reflect.ValueOf(&v).Elem(), &n)
	return v
}

func fill(v reflect.Value, n *int) {
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1_700_000_000, int64(*n)).UTC()))
		return
	case interface{ MarshalJSON() ([]byte, error) }: // json.RawMessage
		v.SetBytes(fmt.Appendf(nil, `{"n":%d}`, *n))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("s%d", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, n)
			fill(value, n)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	default:
		panic("fill does not know " + v.Type().String())
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func isError(t *testing.T, err, kind error, words string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(fmt.Sprint(err), words) {
		t.Errorf("got error %v, want %v that names %s", err, kind, words)
	}
}

// TestUpdateIsWhole shows that an error, a panic and a cancelled context each
// leave nothing of an Update.
func TestUpdateIsWhole(t *testing.T) {
	s := open(t, t.TempDir())
	boom := errors.New("boom")
	insert := func(tx daemon.Tx) error { return tx.InsertApp(daemon.App{Name: "shop"}) }

	err := s.Update(t.Context(), func(tx daemon.Tx) error { return all(insert(tx), boom) })
	if !errors.Is(err, boom) {
		t.Errorf("got %v, want the function's own error", err)
	}
	func() {
		defer func() { recover() }()
		s.Update(t.Context(), func(tx daemon.Tx) error { insert(tx); panic("boom") })
	}()
	ctx, cancel := context.WithCancel(t.Context())
	err = s.Update(ctx, func(tx daemon.Tx) error { defer cancel(); return insert(tx) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	err = s.Update(ctx, insert)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if apps := view(t, s, daemon.Tx.Apps); len(apps) != 0 {
		t.Errorf("left behind: %v", apps)
	}
	update(t, s, insert) // the connection is as good as new
}

// TestCancelledQuery ends the context while a statement could run.
func TestCancelledQuery(t *testing.T) {
	s := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, func(tx daemon.Tx) error {
		cancel()
		_, err := tx.Apps()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	update(t, s, func(tx daemon.Tx) error { return tx.InsertApp(daemon.App{Name: "shop"}) })
}

// TestViewIsOneState shows that a View is not held up by an Update, nor sees
// anything of one that commits meanwhile, and cannot write.
func TestViewIsOneState(t *testing.T) {
	s := open(t, t.TempDir())
	err := s.View(t.Context(), func(before daemon.Tx) error {
		if _, err := before.Apps(); err != nil {
			return err
		}
		err := s.Update(t.Context(), func(tx daemon.Tx) error {
			if err := tx.InsertApp(daemon.App{Name: "shop"}); err != nil {
				return err
			}
			if apps := view(t, s, daemon.Tx.Apps); len(apps) != 0 {
				t.Errorf("another View sees what is not committed: %v", apps)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if apps, err := before.Apps(); len(apps) != 0 || err != nil {
			t.Errorf("the View's state changed under it: %v, %v", apps, err)
		}
		if err := before.InsertApp(daemon.App{Name: "blog"}); err == nil {
			t.Error("a View could write")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if apps := view(t, s, daemon.Tx.Apps); len(apps) != 1 {
		t.Errorf("after the Update: %v", apps)
	}
}

func TestConcurrentUpdates(t *testing.T) {
	const workers, each = 8, 25
	s := open(t, t.TempDir())
	update(t, s, func(tx daemon.Tx) error { return tx.InsertApp(daemon.App{Name: "shop"}) })
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				err := s.Update(t.Context(), func(tx daemon.Tx) error {
					app, err := tx.App("shop")
					if err != nil {
						return err
					}
					app.Current++
					return all(tx.UpdateApp(app), tx.InsertRelease(&daemon.Release{App: "shop"}))
				})
				if err != nil {
					t.Error(err)
				}
				err = s.View(t.Context(), func(tx daemon.Tx) error {
					app, err := tx.App("shop")
					if err != nil {
						return err
					}
					releases, err := tx.Releases("shop")
					if err == nil && len(releases) != app.Current {
						err = fmt.Errorf("a View sees half an Update: %d releases, counted %d", len(releases), app.Current)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	releases := view(t, s, func(tx daemon.Tx) ([]daemon.Release, error) { return tx.Releases("shop") })
	if len(releases) != workers*each || releases[0].Version != workers*each {
		t.Errorf("%d releases, the newest v%d; want %d", len(releases), releases[0].Version, workers*each)
	}
}

// TestConfigsAreDropped: a loop of config:set leaves the database as large as it was after
// the first releases, and the release that serves keeps its config vars.
func TestConfigsAreDropped(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	config := map[string]string{"LONG": strings.Repeat("x", 64<<10)}
	update(t, s, func(tx daemon.Tx) error { return tx.InsertApp(daemon.App{Name: "shop", Current: 3}) })
	release := func(n int) {
		for range n {
			update(t, s, func(tx daemon.Tx) error { return tx.InsertRelease(&daemon.Release{App: "shop", Config: config}) })
		}
	}
	size := func() (n int64) {
		info, err := os.Stat(filepath.Join(dir, "towline.db"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	release(daemon.KeptConfigs + 10)
	s.Close()
	s = open(t, dir)
	before := size()
	release(3 * daemon.KeptConfigs)
	s.Close()
	s = open(t, dir)
	if after := size(); after > before*5/4 {
		t.Errorf("%d bytes after many releases, %d before", after, before)
	}
	const all = 4*daemon.KeptConfigs + 10
	for version := 1; version <= all; version++ {
		r := view(t, s, func(tx daemon.Tx) (daemon.Release, error) { return tx.Release("shop", version) })
		kept := version == 3 || version > all-daemon.KeptConfigs
		if r.ConfigDropped == kept || (r.Config["LONG"] != "") != kept {
			t.Fatalf("v%d: dropped %v, %d config vars", version, r.ConfigDropped, len(r.Config))
		}
	}
	// What is dropped stays so when the release is written again.
	update(t, s, func(tx daemon.Tx) error {
		return tx.UpdateRelease(daemon.Release{App: "shop", Version: 1, ConfigDropped: true})
	})
	if r := view(t, s, func(tx daemon.Tx) (daemon.Release, error) { return tx.Release("shop", 1) }); !r.ConfigDropped {
		t.Error("the config vars are back")
	}
}

// TestSealed looks for secrets in the very bytes on disk.
func TestSealed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const secret = "hunter2-correct-horse"
	config := map[string]string{"SECRET_KEY_BASE": secret}
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop", Owner: "plainly-visible", Config: config}),
			tx.InsertRelease(&daemon.Release{App: "shop", Config: config}),
			tx.InsertAddon(daemon.Addon{Name: "graph", Secrets: config}),
			tx.InsertOperation(&daemon.Operation{Data: []byte(`"` + secret + `"`)}))
	})
	check := func(when string) {
		var disk []byte
		for _, content := range files(t, dir) {
			disk = append(disk, content...)
		}
		if strings.Contains(string(disk), secret) || strings.Contains(string(disk), "SECRET_KEY_BASE") {
			t.Errorf("%s a secret is on disk in clear", when)
		}
		if !strings.Contains(string(disk), "plainly-visible") {
			t.Errorf("%s the test does not read the right files", when)
		}
	}
	check("before the checkpoint")
	s.Close()
	check("after it")
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	contents := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", e.Name(), info.Mode())
		}
		if contents[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return contents
}
