package podman

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"

	"towline/daemon"
)

// A Podman that goes down while it makes a container, or removes one, can leave it half made:
// in its storage alone, where it keeps its image and its files, and without labels. Its
// listings have it only if asked for what is foreign to it ("external"), in the state
// "storage".

// makingLimit is longer than anybody's container is in the making: see wholeLimit.
const makingLimit = 2 * wholeLimit

// halfMade says which containers to look for.
type halfMade struct {
	mu     sync.Mutex
	names  map[string]bool // of those that Podman had in hand when it went away
	looked bool            // since the start: there are no others
	young  time.Duration   // so old it may be in the making; makingLimit, which tests shorten
}

// note remembers a container whose making or removal has ended with err.
func (h *halfMade) note(name string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !daemon.IsAway(err) {
		delete(h.names, name)
		return
	}
	if h.names == nil {
		h.names = map[string]bool{}
	}
	h.names[name] = true
}

// begin forgets a container that is made now.
func (h *halfMade) begin(name string) { h.note(name, nil) }

// is tells whether the container, which is in storage alone, will never be one: by its name,
// or because it is older than anything that is being made. An earlier daemon may have had it
// made, or another installation whose name begins as this one's.
func (h *halfMade) is(name string, created time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.names[name] || time.Since(created) > h.young
}

// removeHalfMade removes what is left of containers that are half made, if there may be any.
// What can't be removed now is looked for again.
func (e *containerEngine) removeHalfMade(ctx context.Context) {
	h := &e.halfMade
	h.mu.Lock()
	look := !h.looked || len(h.names) > 0
	h.mu.Unlock()
	if !look {
		return
	}
	c, err := e.call(ctx)
	if err != nil {
		return
	}
	list, err := containers.List(c, new(containers.ListOptions).WithAll(true).WithExternal(true))
	if err != nil {
		return
	}
	all := true
	there := map[string]bool{}
	for _, item := range list {
		if item.State != "storage" || len(item.Names) == 0 || !strings.HasPrefix(item.Names[0], e.name+"-") {
			continue
		}
		name := item.Names[0]
		there[name] = true
		if !h.is(name, item.Created) || e.RemoveContainer(ctx, name) != nil {
			all = false
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looked = h.looked || all
	for name := range h.names { // others are containers, or nothing
		if !there[name] {
			delete(h.names, name)
		}
	}
}
