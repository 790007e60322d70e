package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"towline/daemon"
	"towline/daemon/store"
)

// TestSnapshot: a copy that is taken while there are writes is the state of one moment, can
// be opened by the key alone, and only by its owner.
func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	update(t, s, func(tx daemon.Tx) error {
		return all(tx.InsertApp(daemon.App{Name: "shop", Config: map[string]string{"A": "secret"}}), tx.InsertMember(daemon.Member{Name: "m0"}))
	})
	stop := make(chan struct{})
	var writes sync.WaitGroup
	writes.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			err := s.Update(t.Context(), func(tx daemon.Tx) error { // two that belong together
				return all(tx.InsertApp(daemon.App{Name: fmt.Sprint("a", i)}), tx.InsertMember(daemon.Member{Name: fmt.Sprint("m", i)}))
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 10 {
		path := filepath.Join(dir, fmt.Sprint("copy", i))
		if err := s.Snapshot(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatal(info, err)
		}
		key, err := store.LoadKey(filepath.Join(dir, "key"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := store.Open(t.Context(), path, key)
		if err != nil {
			t.Fatal(err)
		}
		apps, members := view(t, c, daemon.Tx.Apps), view(t, c, daemon.Tx.Members)
		if len(apps) != len(members) || apps[len(apps)-1].Config["A"] != "secret" {
			t.Errorf("%d apps, %d members, %v", len(apps), len(members), apps[len(apps)-1].Config)
		}
		c.Close()
	}
	close(stop)
	writes.Wait()
}
