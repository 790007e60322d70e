package machine_test

import (
	"io"
	"testing"

	"towline/daemon"
)

// TestHandlesAreKnownBeforeTheStart: a restore fills add-ons, in the networks of their apps,
// before the daemon has reconciled.
func TestHandlesAreKnownBeforeTheStart(t *testing.T) {
	dir, n := t.TempDir(), newNeighbours()
	d := daemonIn(t, dir, n)
	deployed(t, d, n, "shop", daemon.Formation{})
	if err := d.Apps.Rename(t.Context(), "shop", "store", "", io.Discard); err != nil {
		t.Fatal(err)
	}
	again := daemonIn(t, dir, n)
	if err := again.LearnHandles(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := again.Containers.NetworkName("store"); got != "towline-shop" {
		t.Errorf("the network is %s", got)
	}
}

// TestRenameIsRefused: what is wrong with a rename changes nothing.
func TestRenameIsRefused(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{})
	deployed(t, d, n, "blog", daemon.Formation{})
	if _, err := d.Routes.AddDomain(t.Context(), "shop", "", "www.shop.example.test"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, to string
		kind     daemon.Kind
	}{
		{"shop", "blog", daemon.Exists}, {"shop", "Shop!", daemon.Invalid}, {"shop", "shop", daemon.Invalid}, {"nope", "other", daemon.NotFound},
		{"shop", "store", daemon.Conflict}, // it has a domain within its address
	} {
		if err := d.Apps.Rename(t.Context(), c.name, c.to, "", io.Discard); !daemon.IsKind(err, c.kind) {
			t.Errorf("%s to %s: %v", c.name, c.to, err)
		}
	}
	for _, app := range []string{"shop", "blog"} {
		if _, err := d.Apps.App(t.Context(), app); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Routes.RemoveDomain(t.Context(), "shop", "", "www.shop.example.test"); err != nil {
		t.Fatal(err)
	}
	if err := d.Apps.Rename(t.Context(), "shop", "store", "", io.Discard); err != nil {
		t.Error(err)
	}
}
