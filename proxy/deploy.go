package proxy

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"towline/proxy/control"
)

// Deploy implements control.Proxy: check, wait for the new targets, write the
// route to disk, switch in one step.
func (p *Proxy) Deploy(ctx context.Context, spec control.Service) error {
	defer p.stir() // a change leaves garbage behind as requests do
	s, err := newService(spec)
	if err != nil {
		return err
	}
	e := p.use(spec.Name)
	defer p.letGo(spec.Name, e)
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.end()
	p.mu.Lock()
	old := e.current
	p.mu.Unlock()
	s.share(e.shared)

	fresh := s.adopt(old)
	if err := ready(ctx, fresh, or(spec.Health.Deadline, defaultDeadline)); err != nil {
		closeTargets(fresh)
		return err
	}
	gone, err := p.install(e, old, s)
	if err != nil {
		closeTargets(fresh)
		return err
	}
	for _, t := range gone {
		t.retire()
	}
	p.certs.Manage(s.hosts())
	if old != nil {
		p.certs.Forget(old.hosts())
	}
	p.options.Log.Info("deployed", "service", spec.Name, "targets", len(s.targets), "out", len(gone))
	return nil
}

func (e *entry) begin(ctx context.Context) error {
	select {
	case e.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *entry) end() { <-e.turn }

// adopt gives s its targets: those of the old version that stay, with their
// connections and counts, and new ones, which it returns.
func (s *service) adopt(old *service) (fresh []*target) {
	for _, spec := range s.spec.Targets {
		var t *target
		if old != nil {
			if i := slices.IndexFunc(old.targets, func(t *target) bool { return t.spec == spec }); i >= 0 {
				t = old.targets[i]
			}
		}
		if t == nil {
			t = newTarget(spec, s.spec.Health)
			t.host = s.visited()
			fresh = append(fresh, t)
		}
		s.take(t)
	}
	return fresh
}

// visited is a host that visitors name; empty: there are only wildcards.
func (s *service) visited() string {
	for _, host := range s.spec.Hosts {
		if !strings.HasPrefix(host, "*") {
			return host
		}
	}
	return ""
}

// ready polls all targets at once. The first that fails ends the wait.
func ready(ctx context.Context, list []*target, deadline time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, t := range list {
		wg.Go(func() {
			if err := t.poll(ctx, deadline); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func closeTargets(list []*target) {
	for _, t := range list {
		t.close()
	}
}

// install makes s the service of its name, on disk first, and returns the
// targets that it replaced.
func (p *Proxy) install(e *entry, old, s *service) (gone []*target, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.conflict(s); err != nil {
		return nil, err
	}
	if err := p.state.save(s.spec); err != nil {
		return nil, err
	}
	p.table.replace(old, s)
	e.current = s
	if old != nil {
		for _, t := range old.targets {
			if !slices.Contains(s.targets, t) {
				gone = append(gone, t)
			}
		}
	}
	e.draining = append(e.draining, gone...)
	return gone, nil
}

// conflict refuses hosts that another service has.
func (p *Proxy) conflict(s *service) error {
	for _, h := range s.hosts() {
		if other := p.table.routed(h); other != nil && other.spec.Name != s.spec.Name {
			return invalid("host %s belongs to service %s already", h, other.spec.Name)
		}
	}
	return nil
}

// Drain implements control.Proxy.
func (p *Proxy) Drain(ctx context.Context, name string, budget time.Duration) error {
	p.mu.Lock()
	var list []*target
	if e := p.services[name]; e != nil {
		list = slices.Clone(e.draining)
	}
	p.mu.Unlock()
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for i, t := range list {
		wg.Go(func() {
			if errs[i] = t.drain(ctx, budget); errs[i] == nil {
				p.drained(name, t)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Proxy) drained(name string, t *target) {
	e := p.use(name)
	p.mu.Lock()
	e.draining = slices.DeleteFunc(e.draining, func(other *target) bool { return other == t })
	p.mu.Unlock()
	p.letGo(name, e)
}

// Remove implements control.Proxy.
func (p *Proxy) Remove(ctx context.Context, name string) error {
	defer p.stir()
	if checkName(name) != nil {
		return nil
	}
	e := p.use(name)
	defer p.letGo(name, e)
	if err := e.begin(ctx); err != nil {
		return err
	}
	defer e.end()
	p.mu.Lock()
	old := e.current
	// A file that could not be read is removed all the same.
	if err := p.state.remove(name); err != nil {
		p.mu.Unlock()
		return err
	}
	e.current = nil
	if old != nil {
		p.table.replace(old, nil)
		e.draining = append(e.draining, old.targets...)
	}
	p.mu.Unlock()
	if old != nil {
		for _, t := range old.targets {
			t.retire()
		}
		p.certs.Forget(old.hosts())
	}
	e.shared.gate.resume()
	e.shared.release()
	return nil
}

// Pause implements control.Proxy. A service that is not there is a *control.NotFound.
func (p *Proxy) Pause(ctx context.Context, name string, limit time.Duration) error {
	if limit <= 0 {
		return invalid("pause without a limit")
	}
	p.mu.Lock()
	e := p.services[name]
	p.mu.Unlock()
	if e == nil {
		return &control.NotFound{Reason: "no service " + name}
	}
	return e.shared.gate.pause(ctx, limit)
}

// Resume implements control.Proxy. A service that is not paused, or not there,
// is no error.
func (p *Proxy) Resume(_ context.Context, name string) error {
	p.mu.Lock()
	e := p.services[name]
	p.mu.Unlock()
	if e != nil {
		e.shared.gate.resume()
	}
	return nil
}

// Services implements control.Proxy.
func (p *Proxy) Services(context.Context) ([]control.Status, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := []control.Status{}
	for _, e := range p.services {
		if e.current == nil {
			continue
		}
		s := control.Status{Service: e.current.spec, Paused: e.shared.gate.closed.Load(), InFlight: map[string]int{}}
		for _, t := range e.current.targets {
			s.InFlight[t.spec.ID] = t.running.count()
			if t.ejected.Load() {
				s.Ejected = append(s.Ejected, t.spec.ID)
			}
		}
		for _, t := range e.draining {
			s.Draining = append(s.Draining, t.spec.ID)
			s.InFlight[t.spec.ID] = t.running.count()
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b control.Status) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Certificates implements control.Proxy.
func (p *Proxy) Certificates(context.Context) ([]control.Certificate, error) {
	list := []control.Certificate{}
	for _, s := range p.list() {
		for _, h := range s.hosts() {
			list = append(list, p.certs.State(h))
		}
	}
	slices.SortFunc(list, func(a, b control.Certificate) int { return strings.Compare(a.Host, b.Host) })
	return list, nil
}

// SetCertificate implements control.Proxy.
func (p *Proxy) SetCertificate(_ context.Context, host string, chain, key []byte) error {
	return p.certs.Upload(host, chain, key)
}

// DeleteCertificate implements control.Proxy.
func (p *Proxy) DeleteCertificate(_ context.Context, host string) error {
	return p.certs.Remove(host)
}
