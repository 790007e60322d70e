package journeys

import (
	"strings"
	"testing"
	"testing/synctest"

	"towline/daemon"
)

// attachedAt is the release of an app that attached its add-on.
func (w *world) attachedAt(l *life, app string) int {
	w.t.Helper()
	for _, r := range w.state(l).releases[app] {
		if r.Status == daemon.ReleaseGood && strings.HasPrefix(r.Description, "Attach") {
			return r.Version
		}
	}
	w.t.Fatalf("%s has no release that attached an add-on", app)
	return 0
}

// TestDataAfterARename: what the releases of an app left goes with it to its new name, and a
// later app of the old name, whose add-on is called like the one before, gets nothing of it.
func TestDataAfterARename(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		base(w, l)
		ctx := t.Context()
		w.must(l.backupsOnRelease(ctx, "shop"))
		w.must(l.deploy(ctx, "shop", source("two")))
		w.sample("cache", l)
		w.settle()
		w.must(l.renameApp(ctx, "shop", "store"))
		w.must(l.rollbackWithData(ctx, "store", w.attachedAt(l, "store")))
		s := w.state(l)
		if got := w.versionOf(s, "store") + " " + itoa(w.keysOf(s, "cache")); got != "one 1" {
			t.Errorf("after the rollback: %s", got)
		}
		for _, b := range s.backups {
			if of, _ := l.Backups.OfRelease(b); of != "" && of != "store" {
				t.Errorf("%s is said to be of %s", b.ID, of)
			}
		}

		w.must(l.destroyAddon(ctx, "cache"))
		w.must(l.createApp(ctx, "shop"))
		w.must(l.deploy(ctx, "shop", source("one")))
		w.must(l.createAddon(ctx, "shop", "cache", ""))
		w.must(l.deploy(ctx, "shop", source("two")))
		w.settle()
		if err := l.rollbackWithData(ctx, "shop", w.attachedAt(l, "shop")); !daemon.IsKind(err, daemon.Conflict) {
			t.Errorf("a rollback to what the other app left: %v", err)
		}
		s = w.state(l)
		if got := w.versionOf(s, "shop") + " " + itoa(w.keysOf(s, "cache")); got != "two 0" {
			t.Errorf("the other app has %s", got)
		}
	})
}

// TestLaterAddonOfTheName: whoever makes an app and an add-on of the names of some that were
// destroyed gets nothing of what is left of those: their backups.
func TestLaterAddonOfTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		base(w, l)
		ctx := t.Context()
		w.must(l.backupsOnRelease(ctx, "shop"))
		w.must(l.deploy(ctx, "shop", source("two")))
		w.must(l.destroyAddon(ctx, "cache"))
		w.settle()
		w.must(l.destroyApp(ctx, "shop"))
		w.must(l.createApp(ctx, "shop"))
		w.must(l.deploy(ctx, "shop", source("one")))
		w.must(l.createAddon(ctx, "shop", "cache", ""))
		w.must(l.deploy(ctx, "shop", source("two")))
		w.settle()
		if err := l.rollbackWithData(ctx, "shop", w.attachedAt(l, "shop")); !daemon.IsKind(err, daemon.Conflict) {
			t.Errorf("a rollback to what the app of before left: %v", err)
		}
		if s := w.state(l); w.keysOf(s, "cache") != 0 {
			t.Errorf("the add-on has %d keys", w.keysOf(s, "cache"))
		}
		checks, err := l.Schedules.Check(ctx, "", "cache")
		w.must(err)
		if len(checks) != 1 || !checks[0].LastGood.IsZero() {
			t.Errorf("backups of the add-on of before count: %+v", checks)
		}
	})
}

// TestRenameWaitsForAddons: what is about to be done with an add-on knows by name whose it is.
func TestRenameWaitsForAddons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		base(w, l)
		w.settle()
		unlock, err := l.Journal.LockAddon(t.Context(), "cache", nil)
		w.must(err)
		if err := l.renameApp(t.Context(), "shop", "store"); !daemon.IsKind(err, daemon.Conflict) {
			t.Errorf("a rename beside it: %v", err)
		}
		unlock()
		w.must(l.renameApp(t.Context(), "shop", "store"))
	})
}
