package memory

import (
	"context"
	"io"
	"net/netip"

	"towline/daemon"
)

// ContainerLog implements daemon.Containers.
func (e *containerEngine) ContainerLog(ctx context.Context, name string, follow bool, stdout, stderr io.Writer) error {
	what := "log of container " + name
	if err := over(ctx, what); err != nil {
		return err
	}
	e.mu.Lock()
	c := e.containers[name]
	e.mu.Unlock()
	if c == nil {
		return notFound("container", name)
	}
	for copied, ended := 0, false; ; {
		var lines []output
		if e.await(ctx, func() bool {
			lines, ended = c.log[copied:], c.process == nil || !follow
			return len(lines) > 0 || ended
		}) != nil {
			return over(ctx, what)
		}
		for _, l := range lines {
			w := writer(stdout)
			if l.stderr {
				w = writer(stderr)
			}
			if _, err := io.WriteString(w, l.text); err != nil {
				return daemon.Errorf(daemon.Failed, "%s: %w", what, err)
			}
		}
		if copied += len(lines); ended {
			return nil
		}
	}
}

// watcher is one call of Events.
type watcher struct{ events []daemon.Event }

// tell sends an event to all. The lock is held.
func (e *containerEngine) tell(event daemon.Event) {
	for w := range e.watchers {
		w.events = append(w.events, event)
	}
}

// Events implements daemon.Containers.
func (e *containerEngine) Events(ctx context.Context) (<-chan daemon.Event, error) {
	w := &watcher{}
	e.mu.Lock()
	e.watchers[w] = true
	e.mu.Unlock()
	events := make(chan daemon.Event)
	e.running.Go(func() {
		defer close(events)
		for {
			var next []daemon.Event
			err := e.await(ctx, func() bool {
				next, w.events = w.events, nil
				return len(next) > 0 || e.closed
			})
			if err != nil || len(next) == 0 {
				break
			}
			for _, event := range next {
				select {
				case events <- event:
				case <-ctx.Done():
				}
			}
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.watchers, w)
	})
	return events, nil
}

// Listeners implements daemon.Containers. Programs of this engine have no network.
func (e *containerEngine) Listeners(ctx context.Context, name string) ([]netip.AddrPort, error) {
	c, err := e.Container(ctx, name)
	if err == nil && !c.Running {
		err = daemon.Errorf(daemon.Conflict, "container %s does not run", name)
	}
	return nil, err
}
