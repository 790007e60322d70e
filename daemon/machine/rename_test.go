package machine_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

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

// TestNamesWithinAnAddress: who gives up an app's name leaves none within its address to other
// apps, which a later app of the name would find taken; and is not told of apps that are not
// theirs to see.
func TestNamesWithinAnAddress(t *testing.T) {
	d := newDaemon(t, newNeighbours())
	err := d.Store.Update(t.Context(), func(tx daemon.Tx) error {
		return errors.Join(tx.InsertMember(daemon.Member{Name: "ann", Created: time.Now()}), tx.InsertMember(daemon.Member{Name: "bob", Created: time.Now()}))
	})
	if err != nil {
		t.Fatal(err)
	}
	for app, owner := range map[string]string{"shop": "bob", "secretive": "ann"} {
		if _, err := d.Apps.Create(t.Context(), app, owner); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.People.Grant(t.Context(), "shop", "ann", []daemon.Permission{daemon.Operate}, "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Routes.AddDomain(t.Context(), "secretive", "ann", "pay.shop.example.test"); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func(member string) error{
		"rename":  func(member string) error { return d.Apps.Rename(t.Context(), "shop", "store", member, io.Discard) },
		"destroy": func(member string) error { return d.Apps.Destroy(t.Context(), "shop", member, io.Discard) },
	} {
		for member, told := range map[string]bool{"bob": false, "ann": true, "": true} {
			err := do(member)
			var e *daemon.Error
			if !errors.As(err, &e) || e.Kind != daemon.Conflict || strings.Contains(e.Error()+e.Hint, "secretive") != told {
				t.Errorf("%s by %q: %v, %+v", what, member, err, e)
			}
		}
	}
	if _, err := d.Routes.RemoveDomain(t.Context(), "secretive", "ann", "pay.shop.example.test"); err != nil {
		t.Fatal(err)
	}
	if err := d.Apps.Destroy(t.Context(), "shop", "bob", io.Discard); err != nil {
		t.Error(err)
	}
}
