package machine_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/machine"
)

// This file has each neighbour fail, hang or answer late while an add-on or an app is
// changed.

var away = daemon.Errorf(daemon.Unavailable, "the proxy does not answer")

// A service is not stopped unless the requests of its apps wait.
func TestProxyIsAwayFromPause(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	ready(t, d, n, "cache", "shop")
	for name, answer := range map[string]func(context.Context) error{
		"away":    func(context.Context) error { return away },
		"invalid": func(context.Context) error { return daemon.Errorf(daemon.Invalid, "the proxy refuses") },
	} {
		n.setHook(func(ctx context.Context, call, _ string) error {
			if call == "pause" {
				return answer(ctx)
			}
			return nil
		})
		if err := d.Addons.Restart(t.Context(), "cache", "", nil); err == nil {
			t.Errorf("%s: the restart says it went well", name)
		}
		if n.called("stop towline-addon-cache.1") {
			t.Errorf("%s: the service was stopped, and requests did not wait", name)
		}
		if ops := operations(t, d); len(ops) > 0 {
			t.Errorf("%s: left in the journal: %+v", name, ops)
		}
		if said := activities(t, d); strings.Contains(said, "restarted the add-on") {
			t.Errorf("%s: recorded as restarted", name)
		}
	}
}

// A proxy that does not answer in time may have requests in flight; one that answers
// nothing at all hangs.
func TestPauseTakesLong(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	d.SetPauseWait(1)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	ready(t, d, n, "cache", "shop")
	hangs := true
	n.setHook(func(ctx context.Context, call, _ string) error {
		switch {
		case call == "pause":
			<-ctx.Done()
			return ctx.Err()
		case call == "routes" && hangs:
			return away
		}
		return nil
	})
	if err := d.Addons.Restart(t.Context(), "cache", "", nil); !errors.Is(err, away) || n.called("stop towline-addon-cache.1") {
		t.Errorf("it hangs: got %v", err)
	}
	hangs = false
	if err := d.Addons.Restart(t.Context(), "cache", "", nil); err != nil || !n.called("stop towline-addon-cache.1") {
		t.Errorf("requests in flight: got %v", err)
	}
	if said := activities(t, d); !strings.Contains(said, "restarted the add-on cache") {
		t.Errorf("recorded: %s", said)
	}
}

func TestAppWithoutRouteNeedsNoPause(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 0}, "web")
	ready(t, d, n, "cache", "shop")
	if err := d.Addons.Restart(t.Context(), "cache", "", nil); err != nil {
		t.Error(err)
	}
}

func activities(t *testing.T, d *machine.Machine) string {
	t.Helper()
	var texts []string
	err := d.Store.View(t.Context(), func(tx daemon.Tx) error {
		list, err := tx.Activities(daemon.ActivityQuery{})
		for _, a := range list {
			if a.Outcome == daemon.Done {
				texts = append(texts, a.Text)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(texts, "\n")
}

// A command in an add-on that never ends is given up, and what it was part of is undone.
func TestActionHangs(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	d.SetActionLimit(10 * time.Millisecond)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	ready(t, d, n, "cache", "shop")
	n.setHook(func(ctx context.Context, call, _ string) error {
		if call == "exec" {
			return hangs(ctx)
		}
		return nil
	})
	ended := make(chan error, 1)
	go func() { ended <- d.Attachments.Rotate(context.Background(), "cache", "", nil) }()
	if err := within(t, ended, "the rotation"); kindOf(err) != daemon.Failed || !strings.Contains(err.Error(), "did not end within") {
		t.Errorf("got %v", err)
	}
	if ops := operations(t, d); len(ops) > 0 {
		t.Errorf("left in the journal: %+v", ops)
	}
}

// Podman's service is away from the middle of a change on: what was before comes back as
// soon as Podman does.
func TestPodmanComesBack(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	var calls atomic.Int32
	n.setHook(func(_ context.Context, call, _ string) error {
		if (call == "start" || call == "remove") && calls.Add(1) <= 3 {
			return daemon.Errorf(daemon.Unavailable, "podman does not answer")
		}
		return nil
	})
	if err := d.Processes.Restart(t.Context(), "shop", "", "", nil); err == nil {
		t.Error("no error")
	}
	if list, _ := n.ContainerList(t.Context(), nil); len(list) > 0 || len(operations(t, d)) > 0 {
		t.Errorf("left: %+v, %+v", list, operations(t, d))
	}
}
