package container

import (
	"fmt"
	"testing"
)

func TestEachAppHasIDsOfItsOwn(t *testing.T) {
	i := ids{slots: map[string]uint32{}}
	owner := map[uint32]string{}
	for n := range idSlots {
		app := fmt.Sprintf("app-%d", n)
		slot := i.slot("towline/"+app, app)
		if other, taken := owner[slot]; taken || slot >= idSlots {
			t.Fatalf("slot %d of %s is that of %q", slot, app, other)
		}
		owner[slot] = app
		if again := i.slot("towline/"+app, app); again != slot {
			t.Fatalf("%s moves from slot %d to %d", app, slot, again)
		}
	}
	i.slot("towline/more", "more") // shares one, and ends
	first := i.slots["app-7"]
	i.forget("app-7")
	if slot := i.slot("towline/next", "next"); slot != first {
		t.Errorf("the free slot %d is not used: %d", first, slot)
	}
	const reserved = 2147352576 // for ids of images of foreign systems, by systemd
	if last := uint64(firstIDs) + uint64(idsPerOwner)*idSlots; last > reserved {
		t.Errorf("ids go up to %d", last)
	}
}
