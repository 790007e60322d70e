package podman

import (
	"slices"
	"testing"

	"towline/daemon"
)

func TestIndex(t *testing.T) {
	shop, blog := map[string]string{"app": "shop", "kind": "process"}, map[string]string{"app": "blog", "kind": "process"}
	var x index
	of := func(labels map[string]string) []string {
		t.Helper()
		found, ok := x.find(labels)
		if !ok {
			return []string{"ask Podman"}
		}
		return daemon.SortedKeys(found)
	}
	check := func(what string, labels map[string]string, want ...string) {
		t.Helper()
		if got := of(labels); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	of1 := map[string]string{"app": "shop"}
	x.add("early", shop)
	check("before all were listed", of1, "ask Podman")
	since := x.now()
	x.add("meanwhile", shop) // which the listing may have or not
	x.take([]daemon.Container{{Name: "listed", Labels: shop}, {Name: "other", Labels: blog}}, since)
	check("after a listing", of1, "listed", "meanwhile")
	check("of all labels", map[string]string{"app": "blog", "kind": "process"}, "other")
	check("of none", nil, "ask Podman")
	check("of another value", map[string]string{"app": "shop", "kind": "run"})

	// One that is made while somebody finds that it is not there stays.
	found, _ := x.find(of1)
	x.add("listed", shop)
	x.remove("listed", found["listed"])
	x.remove("meanwhile", found["meanwhile"])
	check("made again", of1, "listed")

	for i := range maxLooks {
		x.add("many-"+string(rune('a'+i)), shop)
	}
	check("too many to look at one by one", of1, "ask Podman")
}
