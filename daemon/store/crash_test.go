package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/store"
)

// crashDir tells this test binary, started by TestKilled, to be the child.
const crashDir = "TOWLINE_STORE_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		commitForever(dir)
	}
	os.Exit(m.Run())
}

// commitForever says each release's version once it is committed, until killed.
func commitForever(dir string) {
	check := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	check(err)
	s, err := store.Open(ctx, filepath.Join(dir, "towline.db"), key)
	check(err)
	for {
		r := daemon.Release{App: "shop", Config: map[string]string{"A": strings.Repeat("x", 3000)}}
		check(s.Update(ctx, func(tx daemon.Tx) error {
			return all(tx.InsertRelease(&r), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), App: "shop", Text: fmt.Sprint(r.Version)}))
		}))
		fmt.Println(r.Version)
	}
}

// TestKilled kills a process with SIGKILL while it commits, again and again: what
// it had acknowledged is all there, and each commit is there as a whole.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	update(t, s, func(tx daemon.Tx) error { return tx.InsertApp(daemon.App{Name: "shop"}) })
	s.Close()
	acknowledged := 0
	for round := range 12 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil {
				t.Errorf("the child said %q", lines.Text())
			}
			if n == 3*round { // it goes on committing until the signal arrives
				child.Process.Kill()
			}
		}
		child.Wait() //nolint:errcheck // it was killed

		s := open(t, dir)
		releases := view(t, s, func(tx daemon.Tx) ([]daemon.Release, error) { return tx.Releases("shop") })
		activities := view(t, s, func(tx daemon.Tx) ([]daemon.Activity, error) { return tx.Activities(of("shop", 0)) })
		if len(releases) < acknowledged {
			t.Errorf("round %d: %d releases were acknowledged, %d are there", round, acknowledged, len(releases))
		}
		if len(activities) != len(releases) {
			t.Errorf("round %d: half a commit: %d releases, %d activities", round, len(releases), len(activities))
		}
		s.Close()
	}
	t.Logf("%d commits acknowledged over 12 kills", acknowledged)
}
