package memory

import (
	"context"
	"maps"
	"sync"

	"towline/daemon"
)

// label is on everything, with the installation's name; see daemon/podman.
const label = "towline"

// Engine is a daemon.Engine, of a part for each noun of it. It is safe for concurrent use.
// Close it at the end of a test.
type Engine struct {
	*state
	imageEngine
	networkEngine
	volumeEngine
	containerEngine
}

// state is all that there is, under one lock.
type state struct {
	name    string
	dir     string
	program Program

	mu         sync.Mutex
	changed    chan struct{} // closed, and made anew, whenever something below changes
	closed     bool
	images     []*daemon.Image
	containers map[string]*container
	networks   map[string]map[string]string // labels
	volumes    map[string]map[string]string // labels
	watchers   map[*watcher]bool
	made       int // counts IDs and addresses

	running sync.WaitGroup // programs and watchers
}

var _ daemon.Engine = (*Engine)(nil)

// NewEngine returns an engine with nothing in it, of the installation called name. Volumes
// are directories below dir, which exists. program is what containers and commands in them
// do.
func NewEngine(name, dir string, program Program) *Engine {
	s := &state{
		name: name, dir: dir, program: program, changed: make(chan struct{}), containers: map[string]*container{},
		networks: map[string]map[string]string{}, volumes: map[string]map[string]string{}, watchers: map[*watcher]bool{},
	}
	return &Engine{s, imageEngine{s}, networkEngine{s}, volumeEngine{s}, containerEngine{s}}
}

// Close ends all programs, and waits for them.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	for _, c := range e.containers {
		e.kill(c, killed)
	}
	e.touch()
	e.mu.Unlock()
	e.running.Wait()
}

// Ping implements daemon.Containers.
func (e *Engine) Ping(ctx context.Context) (string, error) {
	return "memory", over(ctx, "ping")
}

// over is the error of a call whose context has ended, as daemon/podman words it.
func over(ctx context.Context, what string) error {
	if err := ctx.Err(); err != nil {
		return daemon.Errorf(daemon.Failed, "%s: %w", what, err)
	}
	return nil
}

// touch says that something has changed. The lock is held.
func (s *state) touch() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// await returns once f, which is called with the lock held, is true, or ctx has ended.
func (s *state) await(ctx context.Context, f func() bool) error {
	for {
		s.mu.Lock()
		done, changed := f(), s.changed
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *state) labelled(labels map[string]string) map[string]string {
	all := maps.Clone(labels)
	if all == nil {
		all = map[string]string{}
	}
	all[label] = s.name
	return all
}

func notFound(what, name string) error {
	return daemon.Errorf(daemon.NotFound, "%s %s: there is none", what, name)
}
