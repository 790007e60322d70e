// Package supervise starts containers again that die, with back-off. What is in them it does not
// know: an Owner of each kind says what should run, and who hears of a death.
package supervise

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"towline/daemon"
	"towline/daemon/container"
	"towline/daemon/work"
)

// revivals are the containers that are being started again.
type revivals struct {
	mu       sync.Mutex
	reviving map[string]int
}

// begin notes that a container is being revived, until end is called.
func (r *revivals) begin(container string) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reviving[container]++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.reviving[container]--; r.reviving[container] == 0 {
			delete(r.reviving, container)
		}
	}
}

func (r *revivals) seesTo(container string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reviving[container] > 0
}

// An Owner answers for containers of one kind.
type Owner interface {
	// Lock takes the lock under which the container comes and goes.
	Lock(ctx context.Context, e daemon.Event) (unlock func(), err error)
	// Wanted tells whether it belongs to what should run now.
	Wanted(ctx context.Context, e daemon.Event) bool
	// Name is what people call it.
	Name(e daemon.Event) string
	// Tell writes a line into the logs of those whom it concerns.
	Tell(ctx context.Context, e daemon.Event, text string)
	// Follow leads requests to where it is, now that it was started again.
	Follow(ctx context.Context, e daemon.Event) error
	// OutOfMemory is what to tell of a process in it that the kernel has killed.
	OutOfMemory(e daemon.Event) string
}

// A Counter hears of each death, once.
type Counter interface {
	Crashed(daemon.Event)
	OutOfMemory(daemon.Event)
}

// Options are what a Supervisor is made of. All are required.
type Options struct {
	Engine  daemon.Engine
	Life    *work.Life
	Crashes *container.Crashes
	Log     *slog.Logger
	Owners  map[string]Owner // by the kind of container
	Counter Counter
	Started <-chan struct{} // closed once all that should run was started, or tried
}

// Supervisor watches over containers.
type Supervisor struct {
	Options
	revivals
}

// New returns one that watches nothing yet: see Run.
func New(o Options) *Supervisor {
	return &Supervisor{o, revivals{reviving: map[string]int{}}}
}

// Run starts containers again that die, with back-off, until ctx ends.
func (s *Supervisor) Run(ctx context.Context) error {
	events, err := s.Engine.Events(ctx)
	if err != nil {
		return err
	}
	// Nobody tells of what died before.
	s.Life.Go(func(ctx context.Context) {
		select {
		case <-s.Started:
			s.reviveAll(ctx)
		case <-ctx.Done():
		}
	})
	for e := range events { // each in a goroutine of its own, which contains its panics
		switch {
		case e.Missed:
			s.Life.Go(s.reviveAll)
		case e.OutOfMemory != "":
			s.Life.Go(func(ctx context.Context) { s.outOfMemory(ctx, e) })
		case e.Died && s.owner(e.Labels) != nil:
			s.Life.Go(func(ctx context.Context) { s.revive(ctx, e) })
		}
	}
	return ctx.Err()
}

// owner is that of a container; nil: it is left alone.
func (s *Supervisor) owner(labels map[string]string) Owner { return s.Owners[labels[daemon.LabelKind]] }

// outOfMemory tells of a process that the kernel has killed at the limit of memory. The
// container may live on, and be of any kind.
func (s *Supervisor) outOfMemory(ctx context.Context, e daemon.Event) {
	kind := daemon.KindProcess
	if e.Labels[daemon.LabelAddon] != "" {
		kind = daemon.KindAddon
	}
	owner := s.Owners[kind]
	s.Counter.OutOfMemory(e)
	owner.Tell(ctx, e, owner.OutOfMemory(e))
}

// reviveAll restarts every container that died without anybody being told: while
// Podman's service was being upgraded, say.
func (s *Supervisor) reviveAll(ctx context.Context) {
	list, err := s.Engine.ContainerList(ctx, nil)
	if err != nil && ctx.Err() == nil {
		s.Log.Error("look for what died", "err", err) // and again when Podman is back
	}
	for _, c := range list {
		if c.Running || c.Paused || s.owner(c.Labels) == nil || s.seesTo(c.Name) {
			continue
		}
		s.Life.Go(func(ctx context.Context) {
			s.revive(ctx, daemon.Event{Container: c.Name, Labels: c.Labels, Died: true, ExitCode: c.ExitCode})
		})
	}
}

// revive restarts a container that died, if it should be running still.
func (s *Supervisor) revive(ctx context.Context, e daemon.Event) {
	defer s.begin(e.Container)()
	owner := s.owner(e.Labels)
	first := true
	for ctx.Err() == nil {
		unlock, err := owner.Lock(ctx, e)
		if err != nil {
			return
		}
		again, wait := true, container.MaxBackoff // if it panics
		daemon.Attempt("the restart of a container", func() { again, wait = s.reviveOnce(ctx, owner, e, first) })
		unlock()
		if !again {
			return
		}
		first = false
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// reviveOnce runs under the lock, so that it never races with a release that is just
// retiring the container. It tells whether, and when, to look again.
func (s *Supervisor) reviveOnce(ctx context.Context, owner Owner, e daemon.Event, first bool) (again bool, wait time.Duration) {
	c, err := s.Engine.Container(ctx, e.Container)
	if err == nil && c.Running && !first {
		return s.follow(ctx, owner, e)
	}
	if err != nil || c.Running || !owner.Wanted(ctx, e) {
		return false, 0
	}
	if first {
		s.Counter.Crashed(e)
		wait = s.Crashes.Delay(e.Container)
		next := "restarting"
		if wait > 0 {
			next = fmt.Sprintf("restarting in %s", wait)
		}
		owner.Tell(ctx, e, fmt.Sprintf("%s exited with code %d; %s", owner.Name(e), e.ExitCode, next))
		if wait > 0 {
			return true, wait
		}
	}
	if err := s.Engine.StartContainer(ctx, e.Container); err != nil {
		s.Log.Error("restart", "container", e.Container, "err", err)
		return true, s.Crashes.Delay(e.Container)
	}
	return s.follow(ctx, owner, e)
}

// followAgain is how soon a restarted process that was not ready in time is looked at
// again. Others get at the app meanwhile.
const followAgain = 5 * time.Second

// follow sees to it that a container that was restarted is found where it is.
func (s *Supervisor) follow(ctx context.Context, owner Owner, e daemon.Event) (again bool, wait time.Duration) {
	err := owner.Follow(ctx, e)
	if err == nil || ctx.Err() != nil {
		return false, 0
	}
	s.Log.Error("route to a restarted container", "container", e.Container, "err", err)
	// If it has ended, that is an event of its own.
	c, err := s.Engine.Container(ctx, e.Container)
	return err == nil && c.Running, followAgain
}
