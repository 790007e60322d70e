package handles

import (
	"testing"

	"towline/daemon"
)

func TestHandles(t *testing.T) {
	h := New()
	h.Load([]daemon.App{{Name: "store", Handle: "shop"}, {Name: "blog", Handle: "blog"}})
	for app, want := range map[string]string{"store": "shop", "blog": "blog", "other": "other", "+graph": "+graph", "addon-graph": "addon-graph"} {
		if got := h.Of(app); got != want {
			t.Errorf("the handle of %s is %s", app, got)
		}
		if got := h.App(want); got != app {
			t.Errorf("the app of %s is %s", want, got)
		}
	}
	// No app of the old name reaches what the renamed one has, before it is made and after.
	if got := h.Of("shop"); got == "shop" {
		t.Errorf("%s is the handle of two apps", got)
	}
	if got := h.Take("shop"); got != "shop-2" || h.Take("shop") != got || h.Of("shop") != got || h.App(got) != "shop" {
		t.Errorf("the new app has the handle %s", got)
	}
	if got := h.Take("shop-2"); got == "shop-2" {
		t.Errorf("%s is the handle of two apps", got)
	}
	h.Drop("store")
	if got := h.App("shop"); got == "shop" {
		t.Errorf("what is left of an app that is gone is said to be of another: %s", got)
	}
	h.Rename("blog", "journal")
	if h.Of("journal") != "blog" || h.App("blog") != "journal" || h.Of("blog") == "blog" {
		t.Errorf("after a rename: %s, %s, %s", h.Of("journal"), h.App("blog"), h.Of("blog"))
	}
}
