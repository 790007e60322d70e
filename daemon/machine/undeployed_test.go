package machine_test

import (
	"context"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"towline/daemon"
)

func (n *neighbours) route(app string) (daemon.Route, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, ok := n.routes[app]
	return r, ok
}

// An app's address says that nothing is deployed, from its creation to its end.
func TestRouteOfAnAppWithoutADeploy(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	if _, err := d.Apps.Create(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Routes.AddDomain(t.Context(), "shop", "", "www.shop.test"); err != nil {
		t.Fatal(err)
	}
	r, ok := n.route("shop")
	if !ok || !r.Undeployed || len(r.Targets) != 0 || !slices.Contains(r.Hosts, "www.shop.test") || len(r.Hosts) != 2 {
		t.Errorf("route %+v", r)
	}
	if err := d.Apps.Destroy(t.Context(), "shop", "", io.Discard); err != nil {
		t.Fatal(err)
	}
	if _, ok := n.route("shop"); ok {
		t.Error("the route outlives its app")
	}
}

// The proxy being away is no reason not to make an app; its route comes later.
func TestAppCreatedWhileTheProxyIsAway(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	var away atomic.Bool
	away.Store(true)
	n.setHook(func(_ context.Context, call, _ string) error {
		if away.Load() && (call == "routes" || call == "deploy") {
			return daemon.Errorf(daemon.Unavailable, "the proxy does not answer")
		}
		return nil
	})
	if _, err := d.Apps.Create(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	away.Store(false)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if r, ok := n.route("shop"); ok && r.Undeployed {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the route never came")
		}
	}
}

// What the proxy refuses of an app's route is not stored: it would refuse the app's next release
// with it. What it does not answer to is stored, and follows.
func TestRefusedRouteIsNotStored(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	if _, err := d.Apps.Create(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	stored := func() (hosts []string, maintenance bool) {
		t.Helper()
		list, err := d.Routes.Domains(t.Context(), "shop")
		app, aerr := d.Apps.App(t.Context(), "shop")
		if err != nil || aerr != nil {
			t.Fatal(err, aerr)
		}
		for _, dom := range list {
			hosts = append(hosts, dom.Host)
		}
		return hosts, app.Maintenance
	}
	var answer atomic.Pointer[daemon.Error]
	n.setHook(func(_ context.Context, call, _ string) error {
		if err := answer.Load(); err != nil && call == "deploy" {
			return err
		}
		return nil
	})
	answer.Store(daemon.Errorf(daemon.Invalid, "the proxy refuses the route: the host belongs to another service"))
	_, err := d.Routes.AddDomain(t.Context(), "shop", "", "www.shop.test")
	merr := d.Routes.SetMaintenance(t.Context(), "shop", "", true)
	if hosts, maintenance := stored(); kindOf(err) != daemon.Invalid || kindOf(merr) != daemon.Invalid || len(hosts) > 0 || maintenance {
		t.Errorf("refused: %v, %v; stored are %v, %v", err, merr, hosts, maintenance)
	}
	answer.Store(away)
	_, err = d.Routes.AddDomain(t.Context(), "shop", "", "www.shop.test")
	if hosts, _ := stored(); kindOf(err) != daemon.Unavailable || len(hosts) != 1 {
		t.Errorf("away: %v; stored are %v", err, hosts)
	}
	answer.Store(nil)
	until(t, "the proxy follows", func() bool {
		r, ok := n.route("shop")
		return ok && slices.Contains(r.Hosts, "www.shop.test")
	})
	if err := d.Routes.SetMaintenance(t.Context(), "shop", "", true); err != nil {
		t.Error(err)
	}
	if _, maintenance := stored(); !maintenance {
		t.Error("the change is not stored")
	}
}

func (n *neighbours) RemoveCaches(context.Context, string) error { return nil }
