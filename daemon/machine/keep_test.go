package machine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/git"
	"towline/daemon/machine"
)

// A push without the worker, then a rollback: there are as many workers as before.
func TestCountsOfTypesAreKept(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n, func(o *machine.Options) { o.Unpacker = git.NewUnpacker(git.Limits{}) })
	deployed(t, d, n, "shop", daemon.Formation{"web": 1, "worker": 2}, "web", "worker")
	var out screen
	if _, err := d.Releases.Deploy(t.Context(), apps.DeployRequest{App: "shop", Source: bytes.NewReader(sourceTar(t))}, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "This release has no worker, of which 2 ran") {
		t.Errorf("nothing says that the workers end:\n%s", out.String())
	}
	counts, _, err := d.Processes.List(t.Context(), "shop")
	if err != nil || !maps.Equal(counts, daemon.Formation{"web": 1}) {
		t.Errorf("without the worker: %v, %v", counts, err)
	}
	rel, err := d.Releases.Rollback(t.Context(), "shop", "", 2, nil)
	if err != nil || rel.Status != daemon.ReleaseGood || rel.Version != 4 {
		t.Fatalf("got %+v, %v", rel, err)
	}
	counts, list, err := d.Processes.List(t.Context(), "shop")
	if err != nil || !maps.Equal(counts, daemon.Formation{"web": 1, "worker": 2}) {
		t.Errorf("after the rollback: %v, %v", counts, err)
	}
	workers := 0
	for _, p := range list {
		if p.Type == "worker" {
			workers++
		}
	}
	if workers != 2 {
		t.Errorf("%d workers run", workers)
	}
	app, err := d.Apps.App(t.Context(), "shop")
	if err != nil || len(app.Kept) > 0 {
		t.Errorf("kept: %v, %v", app.Kept, err)
	}
}

// Images that could not be removed for a while are removed later, however many there are.
func TestOldImagesAreRemovedLater(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	err := d.Store.Update(t.Context(), func(tx daemon.Tx) error {
		for i := range 30 {
			image := fmt.Sprintf("localhost/towline/shop:old-%d", i)
			n.images[image] = true
			rel := daemon.Release{App: "shop", Status: daemon.ReleaseGood, Image: image, Kind: "dockerfile",
				Processes: map[string]daemon.Process{"web": {Command: "serve"}}, Created: time.Now()}
			if err := tx.InsertRelease(&rel); err != nil {
				return err
			}
			app, err := tx.App("shop")
			if err != nil {
				return err
			}
			app.Current = rel.Version
			if err := tx.UpdateApp(app); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tried := make(chan bool, 100)
	n.setHook(func(_ context.Context, call, _ string) error {
		if call == "untag" {
			tried <- true
			return errors.New("in use")
		}
		return nil
	})
	if err := d.Processes.Restart(t.Context(), "shop", "", "", nil); err != nil {
		t.Fatal(err)
	}
	for range 21 {
		within(t, tried, "an attempt for each")
	}
	n.setHook(nil)
	if err := d.Processes.Restart(t.Context(), "shop", "", "", nil); err != nil {
		t.Fatal(err)
	}
	until(t, "ten images are left", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.images) == 10
	})
	until(t, "the releases know", func() bool {
		_, err := d.Releases.Rollback(t.Context(), "shop", "", 3, nil)
		return kindOf(err) == daemon.Conflict && strings.Contains(err.Error(), "no longer kept")
	})
	if _, err := d.Releases.Rollback(t.Context(), "shop", "", 25, nil); err != nil {
		t.Errorf("a kept one: %v", err)
	}
}

// What a newer version has begun is left to it, and said.
func TestUnknownOperationIsLeft(t *testing.T) {
	n := newNeighbours()
	var log screen
	d := newDaemon(t, n, func(o *machine.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	op := daemon.Operation{Kind: "teleport", Subject: "nobody", Step: "beam", Started: time.Now()}
	if err := d.Store.Update(t.Context(), func(tx daemon.Tx) error { return tx.InsertOperation(&op) }); err != nil {
		t.Fatal(err)
	}
	if err := d.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ops := operations(t, d); len(ops) != 1 || ops[0].Kind != "teleport" {
		t.Errorf("in the journal: %+v", ops)
	}
	if !strings.Contains(log.String(), "teleport") || !strings.Contains(log.String(), "left in the journal") {
		t.Errorf("the log says:\n%s", log.String())
	}
}
