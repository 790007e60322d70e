package machine_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/machine"
)

// TestStartLeavesAloneWhatIsRight: a start of the daemon records and changes nothing of an app
// whose processes and route are as they should be, and sees to everything else.
func TestStartLeavesAloneWhatIsRight(t *testing.T) {
	for name, c := range map[string]struct {
		disturb func(n *neighbours)
		right   bool
	}{
		"all is right": {func(*neighbours) {}, true},
		"the proxy serves nothing": {func(n *neighbours) {
			clear(n.routes)
		}, false},
		"the proxy serves another process": {func(n *neighbours) {
			r := n.routes["shop"]
			r.Targets = slices.Clone(r.Targets)
			r.Targets[0].ID = "towline-shop.web.1.v1.old"
			n.routes["shop"] = r
		}, false},
		"the proxy has another address": {func(n *neighbours) {
			r := n.routes["shop"]
			r.Targets = slices.Clone(r.Targets)
			r.Targets[0].Address = "10.9.9.9:5000"
			n.routes["shop"] = r
		}, false},
		"the proxy has another rule": {func(n *neighbours) {
			r := n.routes["shop"]
			r.Maintenance = true
			n.routes["shop"] = r
		}, false},
		"a process is gone": {func(n *neighbours) {
			for name := range n.containers {
				if strings.Contains(name, ".worker.") {
					delete(n.containers, name)
				}
			}
		}, false},
		"a process has ended": {func(n *neighbours) {
			for name, c := range n.containers {
				c.Running = false
				n.containers[name] = c
			}
		}, false},
		"a process is of another release": {func(n *neighbours) {
			for name, c := range n.containers {
				c.Labels["towline.release"] = "1"
				n.containers[name] = c
			}
		}, false},
		"there is one too many": {func(n *neighbours) {
			for name, c := range n.containers {
				c.Name = name + "x"
				n.containers[c.Name] = c
				break
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNeighbours()
			d := newDaemon(t, n)
			deployed(t, d, n, "shop", daemon.Formation{"web": 1, "worker": 1}, "web", "worker")
			if err := d.Reconcile(t.Context()); err != nil { // which makes the world agree
				t.Fatal(err)
			}
			d.Close()
			n.mu.Lock()
			n.calls = nil
			c.disturb(n)
			n.mu.Unlock()
			again := newDaemon(t, n, func(o *machine.Options) { o.Store = d.Store })
			if err := again.Reconcile(context.Background()); err != nil {
				t.Fatal(err)
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			changed := slices.ContainsFunc(n.calls, func(call string) bool {
				return strings.HasPrefix(call, "create ") || strings.HasPrefix(call, "deploy ") || strings.HasPrefix(call, "network ") || strings.HasPrefix(call, "remove ")
			})
			if changed == c.right {
				t.Errorf("%v", n.calls)
			}
		})
	}
}
