package machine_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/machine"
)

// rebooted is the daemon after a reboot: every container has ended, and the proxy knows no address
// that counts. The calls that it makes to bring all up again are in n.calls.
func rebooted(t *testing.T, n *neighbours, d *machine.Machine, disturb func(*neighbours)) *machine.Machine {
	t.Helper()
	d.Close()
	n.mu.Lock()
	n.calls = nil
	clear(n.routes)
	for name, c := range n.containers {
		c.Running, c.Finished = false, time.Now()
		n.containers[name] = c
	}
	if disturb != nil {
		disturb(n)
	}
	n.mu.Unlock()
	again := newDaemon(t, n, func(o *machine.Options) { o.Store = d.Store })
	if err := again.Reconcile(context.Background()); err != nil {
		t.Fatal(err)
	}
	return again
}

func names(n *neighbours) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.containers))
}

// TestRebootStartsTheContainersThatAreThere: they are not made anew, as that takes twice as long.
func TestRebootStartsTheContainersThatAreThere(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 2, "worker": 1}, "web", "worker")
	if err := d.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := names(n)
	rebooted(t, n, d, nil)
	if after := names(n); !slices.Equal(before, after) {
		t.Errorf("%v after %v", after, before)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, call := range n.calls {
		if strings.HasPrefix(call, "create ") || strings.HasPrefix(call, "remove ") {
			t.Errorf("%s", call)
		}
	}
	if len(n.routes["shop"].Targets) != 2 {
		t.Errorf("the proxy serves %+v", n.routes["shop"])
	}
	for name, c := range n.containers {
		if !c.Running {
			t.Errorf("%s does not run", name)
		}
	}
}

// TestRebootMakesAnewWhatIsNotRight changes one container of the process worker.1 at a time.
func TestRebootMakesAnewWhatIsNotRight(t *testing.T) {
	worker := func(n *neighbours) (name string, c daemon.Container) {
		for name, c := range n.containers {
			if strings.Contains(name, ".worker.") {
				return name, c
			}
		}
		t.Fatal("no worker")
		return "", c
	}
	for what, disturb := range map[string]func(n *neighbours){
		"another release": func(n *neighbours) { name, c := worker(n); c.Labels["towline.release"] = "1"; n.containers[name] = c },
		"other capabilities": func(n *neighbours) {
			name, c := worker(n)
			c.Labels["towline.capabilities"] = "X"
			n.containers[name] = c
		},
		"it was never started": func(n *neighbours) { name, c := worker(n); c.Started = time.Time{}; n.containers[name] = c },
	} {
		n := newNeighbours()
		d := newDaemon(t, n)
		deployed(t, d, n, "shop", daemon.Formation{"web": 1, "worker": 1}, "web", "worker")
		if err := d.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.mu.Lock()
		old, _ := worker(n)
		n.mu.Unlock()
		rebooted(t, n, d, disturb)
		until(t, what+": replaced", func() bool { now := names(n); return len(now) == 2 && !slices.Contains(now, old) })
	}
}

// TestRebootWithAContainerThatCannotStart: the next attempt makes a new one.
func TestRebootWithAContainerThatCannotStart(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	if err := d.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	broken := names(n)[0]
	n.setHook(func(_ context.Context, call, subject string) error {
		if call == "start" && subject == broken {
			return daemon.Errorf(daemon.Failed, "its layer is gone")
		}
		return nil
	})
	rebooted(t, n, d, nil)
	until(t, "a new container serves", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		r := n.routes["shop"]
		return len(r.Targets) == 1 && r.Targets[0].ID != broken
	})
}
