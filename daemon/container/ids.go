package container

import (
	"context"
	"hash/fnv"
	"strconv"
	"sync"

	"towline/daemon"
)

// The processes of each app and of each add-on have user ids of their own on the host: what
// root is in the container is nobody outside, and somebody else than another's root. No file
// that outlives a container belongs to them, an add-on's volumes being shown to it under the
// ids that it has, so the ids need not stay the same.

const (
	// firstIDs is above the ids of builds, in a range that neither useradd nor systemd
	// hands out; see systemd's page on users and groups.
	firstIDs    = 1_910_000_000
	idsPerOwner = 1 << 16
	idSlots     = 3600
)

// ids are the slots that apps and add-ons have, by owner.
type ids struct {
	mu    sync.Mutex
	slots map[string]uint32 // nil until the containers that there are were looked at
}

// owner is whose container has those labels: an app by its handle, as what runs goes on
// under it when the app is renamed, or an add-on or a test run in a way that no app is called;
// empty: nobody.
func (cs *Containers) owner(labels map[string]string) string {
	if addon := labels[daemon.LabelAddon]; addon != "" {
		return "+" + addon
	}
	if run := labels[daemon.LabelTest]; run != "" {
		return "~" + run
	}
	if app := labels[daemon.LabelApp]; app != "" {
		return cs.Handles.Of(app)
	}
	return ""
}

// idsOf is where the host's ids of an owner's processes begin.
func (cs *Containers) idsOf(ctx context.Context, of string) (uint32, error) {
	cs.ids.mu.Lock()
	defer cs.ids.mu.Unlock()
	if cs.ids.slots == nil {
		list, err := cs.Engine.ContainerList(ctx, nil)
		if err != nil {
			return 0, err
		}
		cs.ids.slots = map[string]uint32{}
		for _, c := range list {
			first, err := strconv.ParseUint(c.Labels[daemon.LabelIDs], 10, 32)
			if of := cs.owner(c.Labels); err == nil && of != "" && first >= firstIDs {
				cs.ids.slots[of] = (uint32(first) - firstIDs) / idsPerOwner % idSlots
			}
		}
	}
	return firstIDs + idsPerOwner*cs.ids.slot(cs.Name+"/"+of, of), nil
}

// slot is the owner's, or a free one. Only when all are taken do two share one.
func (i *ids) slot(seed, of string) uint32 {
	if slot, ok := i.slots[of]; ok {
		return slot
	}
	taken := map[uint32]bool{}
	for _, slot := range i.slots {
		taken[slot] = true
	}
	h := fnv.New32a()
	h.Write([]byte(seed))
	slot := h.Sum32() % idSlots
	for range idSlots {
		if !taken[slot] {
			break
		}
		slot = (slot + 1) % idSlots
	}
	i.slots[of] = slot
	return slot
}

// ForgetIDs gives the ids of an app back that has no containers any more.
func (cs *Containers) ForgetIDs(app string) { cs.ids.forget(cs.Handles.Of(app)) }

// ForgetAddonIDs does so for an add-on.
func (cs *Containers) ForgetAddonIDs(addon string) { cs.ids.forget("+" + addon) }

// ForgetTestIDs does so for a test run, by its ID.
func (cs *Containers) ForgetTestIDs(run string) { cs.ids.forget("~" + run) }

// forget gives the slot of one back that has no containers any more.
func (i *ids) forget(of string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.slots, of)
}
