package podman

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	"golang.org/x/sync/errgroup"

	"towline/daemon"
)

// index knows the names and labels of this installation's containers, which this process alone
// makes and removes. Podman reads the configuration of every container of the machine to list
// those of one app, a millisecond for each; to look at one by its name it reads that alone.
//
// It may have too many: one that somebody has removed is found out when it is looked at. It
// has all: each is added before it is made, and a listing of all begins it.
type index struct {
	mu      sync.Mutex
	entries map[string]entry
	last    uint64 // given to an entry
	whole   bool   // all were listed once
}

type entry struct {
	labels map[string]string
	number uint64
}

// add is called before a container is made, and when it was.
func (x *index) add(name string, labels map[string]string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.addLocked(name, labels)
}

func (x *index) addLocked(name string, labels map[string]string) {
	if x.entries == nil {
		x.entries = map[string]entry{}
	}
	x.last++
	x.entries[name] = entry{labels, x.last}
}

// remove is called after a container was removed; or seen to be gone, with the entry by which
// it was looked for: it may have been made meanwhile.
func (x *index) remove(name string, seen uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.entries[name].number <= seen {
		delete(x.entries, name)
	}
}

// now is the number of the newest entry.
func (x *index) now() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last
}

// take has all that there are, listed after the entry since was the newest.
func (x *index) take(all []daemon.Container, since uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	there := map[string]bool{}
	for _, c := range all {
		there[c.Name] = true
		if _, known := x.entries[c.Name]; !known {
			x.addLocked(c.Name, c.Labels)
		}
	}
	maps.DeleteFunc(x.entries, func(name string, e entry) bool { return e.number <= since && !there[name] })
	x.whole = true
}

// find returns those that carry all labels, with the numbers of their entries; not ok: ask
// Podman for all.
func (x *index) find(labels map[string]string) (found map[string]uint64, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.whole || len(labels) == 0 {
		return nil, false
	}
	found = map[string]uint64{}
	for name, e := range x.entries {
		if carries(e.labels, labels) {
			found[name] = e.number
		}
	}
	return found, len(found) <= maxLooks
}

// maxLooks is how many containers are looked at one by one; all are listed in place of more.
const maxLooks = 20

func carries(have, labels map[string]string) bool {
	for k, v := range labels {
		if got, there := have[k]; !there || got != v {
			return false
		}
	}
	return true
}

// ContainerList implements daemon.Containers. What Podman has left half made is removed
// before.
func (e *containerEngine) ContainerList(ctx context.Context, labels map[string]string) ([]daemon.Container, error) {
	e.removeHalfMade(ctx)
	if found, ok := e.index.find(labels); ok {
		return e.look(ctx, found, labels)
	}
	since := e.index.now()
	all, err := e.listAll(ctx)
	if err != nil {
		return nil, err
	}
	e.index.take(all, since)
	return slices.DeleteFunc(all, func(c daemon.Container) bool { return !carries(c.Labels, labels) }), nil
}

// look inspects containers, some at a time, and leaves out those that are gone.
func (e *containerEngine) look(ctx context.Context, at map[string]uint64, labels map[string]string) ([]daemon.Container, error) {
	names := daemon.SortedKeys(at)
	found := make([]daemon.Container, len(names))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, name := range names {
		g.Go(func() error {
			c, err := e.Container(gctx, name)
			if errors.Is(err, daemon.ErrNotFound) {
				e.index.remove(name, at[name])
				return nil
			}
			found[i] = c
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(c daemon.Container) bool { return c.Name == "" || !carries(c.Labels, labels) }), nil
}

// listAll lists all of the installation's.
func (e *containerEngine) listAll(ctx context.Context) ([]daemon.Container, error) {
	c, err := e.call(ctx)
	if err != nil {
		return nil, err
	}
	list, err := containers.List(c, new(containers.ListOptions).WithAll(true).WithFilters(e.filters(nil)))
	if err != nil {
		return nil, wrap(err, "list containers")
	}
	found := make([]daemon.Container, 0, len(list))
	for _, item := range list {
		if len(item.Names) == 0 {
			continue
		}
		found = append(found, daemon.Container{
			Name:     item.Names[0],
			ID:       item.ID,
			Image:    item.ImageID,
			Labels:   item.Labels,
			Running:  live(&define.InspectContainerState{Status: item.State}),
			Paused:   item.State == define.ContainerStatePaused.String(),
			ExitCode: int(item.ExitCode),
			Created:  item.Created,
			Started:  unixTime(item.StartedAt),
			Finished: unixTime(item.ExitedAt),
			IPs:      addressesOf(item.Pid),
		})
	}
	return found, nil
}
