package machine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

// TestDomainsOfOthers: bob, who owns blog, may neither take a name within or over what other
// apps have, nor one that is Towline's or everyone's. ann, who owns shop, and ivy, who may
// operate both, may share what is theirs. The installation's domain is example.test.
func TestDomainsOfOthers(t *testing.T) {
	d := newDaemon(t, newNeighbours())
	err := d.Store.Update(t.Context(), func(tx daemon.Tx) (err error) {
		for _, member := range []string{"ann", "bob", "ivy", "eve", "root"} {
			err = errors.Join(err, tx.InsertMember(daemon.Member{Name: member, Admin: member == "root", Created: time.Now()}))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for app, owner := range map[string]string{"shop": "ann", "blog": "bob"} {
		if _, err := d.Apps.Create(t.Context(), app, owner); err != nil {
			t.Fatal(err)
		}
		if err := d.People.Grant(t.Context(), app, "ivy", []daemon.Permission{daemon.Operate}, owner); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.People.Grant(t.Context(), "shop", "eve", []daemon.Permission{daemon.View}, "ann"); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"*.wild.example.org", "plain.example.org", "deep.over.example.org", "*.stars.over2.example.org", "XN--BCHER-KVA.example"} {
		if _, err := d.Routes.AddDomain(t.Context(), "shop", "ann", host); err != nil {
			t.Fatal(err)
		}
	}

	for _, c := range []struct {
		member, app, host string
		shown             string // "": as typed
		kind              daemon.Kind
	}{
		{"bob", "blog", "free.example.com", "", ""},
		{"bob", "blog", "*.free.example.com", "", ""},
		{"bob", "blog", "example.org", "", ""}, // a name above takes no visitor of shop's
		{"bob", "blog", "wild.example.org", "", ""},
		{"bob", "blog", "intranet", "", ""},
		{"bob", "blog", "any.blog.example.test", "", ""},
		{"bob", "blog", "*.blog.example.test", "", ""},
		{"bob", "blog", "Mixed.Example.COM.", "mixed.example.com", ""},
		{"bob", "blog", "straße.example.com", "xn--strae-oqa.example.com", ""},
		{"bob", "blog", "*.ÜBER.example.com", "*.xn--ber-goa.example.com", ""},
		{"bob", "blog", "点。example.com", "xn--3px.example.com", ""},
		{"bob", "blog", "xn--nxasmm1c.example.com", "", ""},

		{"bob", "blog", "*.wild.example.org", "", daemon.Exists},
		{"bob", "blog", "PLAIN.example.org.", "", daemon.Exists},
		{"bob", "blog", "bücher.example", "", daemon.Exists},
		{"bob", "blog", "pay.wild.example.org", "", daemon.Forbidden},
		{"bob", "blog", "Pay.Wild.Example.Org.", "", daemon.Forbidden},
		{"bob", "blog", "a.b.wild.example.org", "", daemon.Forbidden},
		{"bob", "blog", "*.b.wild.example.org", "", daemon.Forbidden},
		{"bob", "blog", "pay.plain.example.org", "", daemon.Forbidden},
		{"bob", "blog", "*.plain.example.org", "", daemon.Forbidden},
		{"bob", "blog", "*.over.example.org", "", daemon.Forbidden},
		{"bob", "blog", "*.example.org", "", daemon.Forbidden},
		{"bob", "blog", "*.over2.example.org", "", daemon.Forbidden},
		{"bob", "blog", "www.bücher.example", "", daemon.Forbidden},
		{"bob", "blog", "www.BÜCHER.example", "", daemon.Forbidden},
		{"bob", "blog", "shop.example.test", "", daemon.Conflict},
		{"bob", "blog", "pay.shop.example.test", "", daemon.Forbidden},
		{"bob", "blog", "*.shop.example.test", "", daemon.Forbidden},
		{"bob", "blog", "nosuch.example.test", "", daemon.Conflict},
		{"bob", "blog", "a.nosuch.example.test", "", daemon.Conflict},
		{"bob", "blog", "addon-redis.example.test", "", daemon.Conflict},
		{"bob", "blog", "blog.example.test", "", daemon.Exists},
		{"bob", "blog", "*.example.test", "", daemon.Conflict},
		{"bob", "blog", "example.test", "", daemon.Forbidden},
		{"bob", "blog", "*.test", "", daemon.Invalid},
		{"bob", "blog", "*.com", "", daemon.Invalid},
		{"bob", "blog", "co.uk", "", daemon.Forbidden},
		{"bob", "blog", "*.co.uk", "", daemon.Forbidden},
		{"bob", "blog", "localhost", "", daemon.Conflict},
		{"bob", "blog", "LOCALHOST.", "", daemon.Conflict},
		{"bob", "blog", "ｌｏｃａｌｈｏｓｔ", "", daemon.Conflict},
		{"bob", "blog", "*.localhost", "", daemon.Invalid},
		{"bob", "blog", "127.0.0.1", "", daemon.Invalid},
		{"bob", "blog", "１２７.0.0.1", "", daemon.Invalid},
		{"bob", "blog", "a..b", "", daemon.Invalid},
		{"bob", "blog", "xn--a.example.com", "", daemon.Invalid},
		{"bob", "blog", "bü cher.example", "", daemon.Invalid},
		{"bob", "blog", "*.*.example.com", "", daemon.Invalid},
		{"bob", "blog", "*", "", daemon.Invalid},
		{"bob", "blog", "", "", daemon.Invalid},
		{"bob", "blog", strings.Repeat("ü", 5000) + ".example", "", daemon.Invalid},

		// Names above shop's domains, which bob took, keep shop's own people from nothing of theirs.
		{"ann", "shop", "in.wild.example.org", "", ""},
		{"ann", "shop", "*.deeper.wild.example.org", "", ""},
		{"ann", "shop", "in.plain.example.org", "", ""},
		{"ann", "shop", "*.plain.example.org", "", ""},
		{"ann", "shop", "other.example.org", "", daemon.Forbidden},
		{"ann", "shop", "in.any.blog.example.test", "", daemon.Forbidden},

		{"eve", "blog", "pay.wild.example.org", "", daemon.Forbidden},
		{"ivy", "blog", "pay.wild.example.org", "", ""},
		{"ivy", "blog", "*.over.example.org", "", ""},
		{"ivy", "blog", "pay.shop.example.test", "", ""},
		{"root", "blog", "*.example.org", "", ""},
		{"root", "blog", "example.test", "", ""},
		{"", "blog", "*.co.uk", "", ""},
	} {
		host, err := d.Routes.AddDomain(t.Context(), c.app, c.member, c.host)
		var e *daemon.Error
		kind := daemon.Kind("")
		if errors.As(err, &e) {
			kind = e.Kind
		} else if err != nil {
			t.Errorf("%s: %v", c.host, err)
		}
		want := c.shown
		if want == "" {
			want = c.host
		}
		if kind != c.kind || err == nil && host != want {
			t.Errorf("%s takes %.40q: %q, %v; want %q", c.member, c.host, host, err, c.kind)
		}
		if c.member == "bob" && err != nil && strings.Contains(strings.ReplaceAll(err.Error(), c.host, ""), "of shop") {
			t.Errorf("%q names the other app: %v", c.host, err)
		}
	}

	held, err := d.Routes.Domains(t.Context(), "blog")
	if err != nil || !slices.ContainsFunc(held, func(h daemon.Domain) bool { return h.Host == "xn--strae-oqa.example.com" }) {
		t.Errorf("%v, %v", held, err)
	}
	if host, err := d.Routes.RemoveDomain(t.Context(), "blog", "bob", "STRASSE.example.com"); err == nil {
		t.Errorf("%q was removed", host)
	}
	if host, err := d.Routes.RemoveDomain(t.Context(), "blog", "bob", "Straße.example.com."); err != nil || host != "xn--strae-oqa.example.com" {
		t.Errorf("%q, %v", host, err)
	}
}
