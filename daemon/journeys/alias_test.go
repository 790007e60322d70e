package journeys

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"towline/daemon"
	"towline/daemon/addons"
)

// TestAliases: they are config vars of the add-on like those of its manifest, from its creation to
// its end.
func TestAliases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		base(w, l)
		ctx := t.Context()
		is := func(when, app, want string) {
			t.Helper()
			if got := aliasesOf(w.state(l), app); got != want {
				t.Errorf("%s the aliases are %q, not %q", when, got, want)
			}
		}
		_, err := l.Addons.Provision(ctx, addons.ProvisionRequest{App: "other", Service: "store", Name: "second", Prefix: "cache", Aliases: map[string]string{"KV_URL": "CACHE_URL"}}, io.Discard)
		w.must(err)
		is("once it is created", "other", "KV_URL")
		if err := l.set(ctx, "other", "KV_URL", "mine"); !daemon.IsKind(err, daemon.Conflict) || !strings.Contains(err.Error(), "second") {
			t.Errorf("an alias was set: %v", err)
		}

		w.must(l.alias(ctx, "cache", "shop", asStore("KV_URL")))
		before, _ := w.state(l).app("shop")
		w.must(l.rotate(ctx, "cache"))
		w.settle()
		is("after a rotation", "shop", "KV_URL")
		if after, _ := w.state(l).app("shop"); after.Config["KV_URL"] == before.Config["KV_URL"] {
			t.Error("a rotation left the alias as it was")
		}
		w.must(l.deploy(ctx, "shop", source("two")))
		w.must(l.rollback(ctx, "shop"))
		is("after a rollback", "shop", "KV_URL")
		w.must(l.renameApp(ctx, "shop", "store"))
		is("after a rename", "store", "KV_URL")
		w.must(l.upgrade(ctx, "cache", "2"))
		is("after an upgrade", "store", "KV_URL")
		w.must(l.detach(ctx, "cache", "store"))
		w.must(l.destroyAddon(ctx, "second"))
		for _, app := range []string{"store", "other"} {
			if a, _ := w.state(l).app(app); len(a.Config) > 0 {
				t.Errorf("%s is left with %v", app, daemon.SortedKeys(a.Config))
			}
		}
	})
}

// TestBadAliases: each is refused before anything is done, with what to type.
func TestBadAliases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		base(w, l)
		ctx := t.Context()
		w.must(l.set(ctx, "shop", "COLOUR", "red"))
		w.must(l.createAddon(ctx, "shop", "second", "SECOND"))
		many := map[string]string{}
		for i := range 21 {
			many["A"+itoa(i)] = "STORE_URL"
		}
		releases := len(w.state(l).releases["shop"])
		for _, c := range []struct {
			aliases map[string]string
			kind    daemon.Kind
			says    string
		}{
			{asStore("7UP"), daemon.Invalid, "letters, digits"},
			{asStore("TOWLINE_X"), daemon.Invalid, "set by Towline itself"},
			{asStore("PORT"), daemon.Invalid, "where to listen"},
			{asStore("STORE_URL"), daemon.Invalid, "of the add-on itself"},
			{asStore("COLOUR"), daemon.Conflict, "config:unset COLOUR"},
			{asStore("SECOND_URL"), daemon.Conflict, "of second already"},
			{map[string]string{"KV_URL": "CACHE_URL"}, daemon.Invalid, "there are: STORE_URL"},
			{map[string]string{"KV_URL": "OTHER_URL", "OTHER_URL": "STORE_URL"}, daemon.Invalid, "there are: STORE_URL"},
			{many, daemon.Invalid, "at most 20"},
			{nil, daemon.Exists, "attached to shop already"},
		} {
			err := l.alias(ctx, "cache", "shop", c.aliases)
			var e *daemon.Error
			if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(e.Error()+e.Hint, c.says) {
				t.Errorf("%v: %+v, not %q", c.aliases, err, c.says)
			}
		}
		_, err := l.Addons.Provision(ctx, addons.ProvisionRequest{App: "other", Service: "store", Aliases: asStore("PORT")}, io.Discard)
		if !daemon.IsKind(err, daemon.Invalid) {
			t.Errorf("created: %v", err)
		}
		if s := w.state(l); len(s.releases["shop"]) != releases || aliasesOf(s, "shop") != "" {
			t.Errorf("something was done: %d releases, aliases %q", len(s.releases["shop"]), aliasesOf(s, "shop"))
		}
	})
}
