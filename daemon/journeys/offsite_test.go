package journeys

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestDeletionAtAServerThatHangs: an add-on whose backup is deleted takes others meanwhile, and a
// daemon that ends then goes on with it at its next start.
func TestDeletionAtAServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		base(w, l)
		id, err := l.capture(t.Context(), "cache")
		w.must(err)
		w.settle()
		if !w.offsite.holds(id) {
			t.Fatal("there is no offsite copy")
		}
		w.offsite.hangs.Store(true)
		go func() { _ = l.deleteBackup(context.WithoutCancel(t.Context()), id) }()
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := l.capture(ctx, "cache"); err != nil {
			t.Errorf("a backup meanwhile: %v", err)
		}
		if s := w.state(l); len(s.backups) != 1 || s.backups[0].ID == id {
			t.Errorf("there are %+v", s.backups)
		}
		l.end()
		w.offsite.hangs.Store(false)
		l = w.start()
		w.settle()
		if w.offsite.holds(id) {
			t.Error("the copy is there still")
		}
		for _, fault := range w.faultsFound(l) {
			t.Error(fault)
		}
	})
}
