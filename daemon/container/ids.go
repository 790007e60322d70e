package container

import (
	"context"
	"hash/fnv"
	"strconv"
	"sync"

	"towline/daemon"
)

// The processes of each app have user ids of their own on the host: what root is in the
// container is nobody outside, and somebody else than another app's root. No file of an
// app's outlives its container, so the ids need not stay the same.

const (
	// firstIDs is above the ids of builds, in a range that neither useradd nor systemd
	// hands out; see systemd's page on users and groups.
	firstIDs  = 1_910_000_000
	idsPerApp = 1 << 16
	idSlots   = 3600
)

// ids are the slots that apps have, by handle.
type ids struct {
	mu    sync.Mutex
	slots map[string]uint32 // nil until the containers that there are were looked at
}

// idsOf is where the host's ids of an app's processes begin.
func (cs *Containers) idsOf(ctx context.Context, app string) (uint32, error) {
	app = cs.Handles.Of(app) // what runs goes on under it when the app is renamed
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
			if app := c.Labels[daemon.LabelApp]; err == nil && app != "" && first >= firstIDs {
				cs.ids.slots[cs.Handles.Of(app)] = (uint32(first) - firstIDs) / idsPerApp % idSlots
			}
		}
	}
	return firstIDs + idsPerApp*cs.ids.slot(cs.Name+"/"+app, app), nil
}

// slot is the app's, or a free one. Only when all are taken do two apps share one.
func (i *ids) slot(seed, app string) uint32 {
	if slot, ok := i.slots[app]; ok {
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
	i.slots[app] = slot
	return slot
}

// ForgetIDs gives the ids of an app back that has no containers any more.
func (cs *Containers) ForgetIDs(app string) { cs.ids.forget(cs.Handles.Of(app)) }

// forget gives the slot of an app back that has no containers any more.
func (i *ids) forget(app string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.slots, app)
}
