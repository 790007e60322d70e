package memory

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"towline/daemon"
)

// Router is a daemon.Router. It is safe for concurrent use.
type Router struct {
	ready func(daemon.Target) error

	mu       sync.Mutex
	changed  chan struct{} // closed, and made anew, whenever something below changes
	services map[string]*service
	uploaded map[string]daemon.Certificate // by host
}

// service is what the router has of one app. It outlives the app's route, as what was taken
// out may have requests still.
type service struct {
	turn     chan struct{} // held by Deploy and Remove
	route    *daemon.Route // nil: removed
	paused   time.Duration // how long a request waits at most; 0: not paused
	inFlight map[daemon.Target]int
	draining []daemon.Target
}

var _ daemon.Router = (*Router)(nil)

// NewRouter returns a router without routes. ready tells whether a target answers; it is
// asked again and again.
func NewRouter(ready func(daemon.Target) error) *Router {
	return &Router{ready: ready, changed: make(chan struct{}), services: map[string]*service{}, uploaded: map[string]daemon.Certificate{}}
}

const (
	poll         = 20 * time.Millisecond
	bootDeadline = time.Minute // unless the route says
)

func (r *Router) touch() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// await returns once f, which is called with the lock held, is true, or ctx has ended.
func (r *Router) await(ctx context.Context, f func() bool) error {
	for {
		r.mu.Lock()
		done, changed := f(), r.changed
		r.mu.Unlock()
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

func (r *Router) service(app string) *service {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.services[app]
	if s == nil {
		s = &service{turn: make(chan struct{}, 1), inFlight: map[daemon.Target]int{}}
		r.services[app] = s
	}
	return s
}

// begin waits for the app's turn.
func (s *service) begin(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Deploy implements daemon.Router.
func (r *Router) Deploy(ctx context.Context, route daemon.Route) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if route.App == "" || strings.Trim(route.App, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return daemon.Errorf(daemon.Invalid, "the proxy refuses the route: service name %q", route.App)
	}
	route = copied(route)
	s := r.service(route.App)
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer func() { <-s.turn }()
	r.mu.Lock()
	var old []daemon.Target
	if s.route != nil {
		old = s.route.Targets
	}
	r.mu.Unlock()
	for _, t := range route.Targets {
		if !slices.Contains(old, t) {
			if err := r.awaitReady(ctx, t, route.Health.Deadline); err != nil {
				return err
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, other := range r.services {
		for _, h := range hosts(other.route) {
			if name != route.App && slices.Contains(hosts(&route), h) {
				return daemon.Errorf(daemon.Invalid, "the proxy refuses the route: host %s belongs to service %s already", h, name)
			}
		}
	}
	s.replace(&route)
	r.touch()
	return nil
}

func (r *Router) awaitReady(ctx context.Context, t daemon.Target, deadline time.Duration) error {
	if deadline == 0 {
		deadline = bootDeadline
	}
	for since := time.Now(); ; {
		err := r.ready(t)
		if err == nil {
			return nil
		}
		if time.Since(since) > deadline {
			return &daemon.NotReadyError{Target: t.ID, Reason: err.Error()}
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func hosts(route *daemon.Route) []string {
	if route == nil {
		return nil
	}
	return append(slices.Clone(route.Hosts), slices.Collect(maps.Keys(route.Redirects))...)
}

func copied(route daemon.Route) daemon.Route {
	route.Hosts, route.Targets = slices.Clone(route.Hosts), slices.Clone(route.Targets)
	route.Redirects, route.Auth = maps.Clone(route.Redirects), maps.Clone(route.Auth)
	return route
}

// replace makes the route the app's; nil: none.
func (s *service) replace(route *daemon.Route) {
	if s.route != nil {
		for _, t := range s.route.Targets {
			if route == nil || !slices.Contains(route.Targets, t) {
				s.draining = append(s.draining, t)
			}
		}
	}
	s.route = route
}

// Drain implements daemon.Router.
func (r *Router) Drain(ctx context.Context, app string, budget time.Duration) error {
	s := r.service(app)
	limited, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	r.mu.Lock()
	list := slices.Clone(s.draining)
	r.mu.Unlock()
	err := r.await(limited, func() bool {
		return !slices.ContainsFunc(list, func(t daemon.Target) bool { return s.inFlight[t] > 0 })
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.draining = slices.DeleteFunc(s.draining, func(t daemon.Target) bool { return slices.Contains(list, t) })
	return nil
}

// Remove implements daemon.Router.
func (r *Router) Remove(ctx context.Context, app string) error {
	s := r.service(app)
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer func() { <-s.turn }()
	r.mu.Lock()
	defer r.mu.Unlock()
	s.replace(nil)
	s.paused = 0
	r.touch()
	return nil
}

// Pause implements daemon.Router. A deploy does not end it; a removal does.
func (r *Router) Pause(ctx context.Context, app string, limit time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if limit <= 0 {
		return daemon.Errorf(daemon.Invalid, "the proxy refuses the route: pause without a limit")
	}
	r.mu.Lock()
	s := r.services[app]
	if s == nil || s.route == nil {
		r.mu.Unlock()
		return daemon.Errorf(daemon.NotFound, "the proxy has no service %s", app)
	}
	s.paused = limit
	r.touch()
	r.mu.Unlock()
	return r.await(ctx, func() bool {
		for _, n := range s.inFlight {
			if n > 0 {
				return false
			}
		}
		return true
	})
}

// Resume implements daemon.Router. One that is not paused, or not there, is no error.
func (r *Router) Resume(ctx context.Context, app string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := r.service(app)
	r.mu.Lock()
	defer r.mu.Unlock()
	s.paused = 0
	r.touch()
	return nil
}

// Routes implements daemon.Router.
func (r *Router) Routes(ctx context.Context) ([]daemon.Route, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []daemon.Route{}
	for _, name := range slices.Sorted(maps.Keys(r.services)) {
		if s := r.services[name]; s.route != nil {
			list = append(list, copied(*s.route))
		}
	}
	return list, nil
}

// Paused lists the apps whose requests wait.
func (r *Router) Paused() (apps []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(r.services)) {
		if r.services[name].paused > 0 {
			apps = append(apps, name)
		}
	}
	return apps
}

var errNoAnswer = errors.New("503: nothing answers")

// Request is one of a visitor of host: it waits while the app is paused, and returns the ID
// of the target that has it. It is in flight until done is called.
func (r *Router) Request(ctx context.Context, host string) (target string, done func(), err error) {
	r.mu.Lock()
	var s *service
	for _, other := range r.services {
		if slices.Contains(hosts(other.route), host) {
			s = other
		}
	}
	if s == nil {
		r.mu.Unlock()
		return "", nil, errors.New("404: nobody has that host")
	}
	limit := s.paused
	r.mu.Unlock()
	if limit > 0 {
		limited, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if r.await(limited, func() bool { return s.paused == 0 }) != nil {
			return "", nil, errNoAnswer
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.route == nil || len(s.route.Targets) == 0 {
		return "", nil, errNoAnswer
	}
	t := s.route.Targets[0]
	for _, other := range s.route.Targets { // the one with the fewest
		if s.inFlight[other] < s.inFlight[t] {
			t = other
		}
	}
	s.inFlight[t]++
	return t.ID, sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		s.inFlight[t]--
		r.touch()
	}), nil
}
