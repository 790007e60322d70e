// Package proxy is what stands between the network and the apps: it ends TLS,
// finds the service that a request's host belongs to, applies that service's
// rules and hands the request to one of its targets. It keeps its own routes and
// certificates on disk and serves on when nobody tells it anything.
//
// The parsers of messages are a package of their own, message; so is what finds
// certificates, certs.
//
// A request's way can be read in this order: listen.go, http1.go (or http2.go),
// serve.go, forward.go. A deploy's way is deploy.go alone.
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"towline/proxy/certs"
	"towline/proxy/control"
)

// Proxy is a running proxy. It implements control.Proxy.
type Proxy struct {
	options Options
	table   *table
	state   *state
	certs   *certs.Certs
	tls     *tls.Config

	named               []namedListener
	httpPort, httpsPort int // 0: no such listener
	addrs               struct{ http, https, control, metrics string }

	mu       sync.Mutex // guards services and stop, and changes of the table
	services map[string]*entry
	stop     []func() // undo, last first

	conns    clientConns
	stopping atomic.Bool
	running  inflight // requests
	fresh    inflight // connections that have not sent one
	refused  atomic.Int64
	unrouted atomic.Int64
	panics   atomic.Int64
	watching watching // those who wait for something to be counted
	done     chan struct{}

	changes    changes
	handedOver chan struct{} // closed once another process has taken over
	finishing  atomic.Bool   // that is why this one stops

	busy    atomic.Bool   // there was a request or a change in this round of housekeeping
	stirred chan struct{} // wakes housekeeping; holds one token
}

// entry is all that is known by a service's name.
type entry struct {
	turn     chan struct{} // holds one token: one deploy or removal at a time
	uses     int           // calls that have it or wait for their turn
	current  *service      // nil: removed
	draining []*target
	shared   *shared
}

var _ control.Proxy = (*Proxy)(nil)

// Start reads the state and serves. On error nothing is left running.
func Start(o Options) (*Proxy, error) {
	o.defaults()
	p := &Proxy{
		options:    o,
		table:      newTable(),
		services:   map[string]*entry{},
		done:       make(chan struct{}),
		handedOver: make(chan struct{}),
		stirred:    make(chan struct{}, 1),
	}
	if err := p.start(); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Proxy) start() error {
	o := &p.options
	if o.State == "" {
		return errors.New("proxy: no state directory")
	}
	if err := os.MkdirAll(o.State, 0o755); err != nil {
		return err
	}
	if o.AccessLog != "" {
		if err := os.MkdirAll(o.AccessLog, 0o755); err != nil {
			return err
		}
	}
	if err := p.openCerts(); err != nil {
		return err
	}
	var err error
	if p.state, err = openState(o.State); err != nil {
		return err
	}
	p.restore()
	p.onStop(p.closeTargets)
	go p.housekeeping()
	p.onStop(func() { close(p.done) })
	if err := p.listen(); err != nil {
		return err
	}
	p.certs.Begin()
	return nil
}

func (p *Proxy) openCerts() (err error) {
	o := &p.options
	p.certs, err = certs.Open(certs.Options{State: o.State, Names: p.table, Log: o.Log, CA: o.TLS})
	if err != nil {
		return err
	}
	p.onStop(p.certs.Close)
	p.tls = p.tlsConfig()
	return nil
}

// restore serves what the state directory holds. Its targets were ready once;
// those that are gone are found out by the first request.
func (p *Proxy) restore() {
	list, problems := p.state.load()
	for _, err := range problems {
		p.options.Log.Error("a route cannot be read and is NOT served; its file is kept", "error", err)
	}
	for _, spec := range list {
		s, err := newService(spec)
		if err == nil {
			err = p.conflict(s)
		}
		if err != nil {
			p.options.Log.Error("a stored route makes no sense and is NOT served; its file is kept", "service", spec.Name, "error", err)
			continue
		}
		e := p.use(spec.Name)
		s.share(e.shared)
		s.adopt(nil)
		e.current = s
		p.letGo(spec.Name, e)
		p.table.replace(nil, s)
		p.certs.Manage(s.hosts())
	}
}

// onStop registers what Close undoes, last first.
func (p *Proxy) onStop(f func()) {
	p.mu.Lock()
	p.stop = append(p.stop, f)
	p.mu.Unlock()
}

// use returns the record of a name, making one; letGo must follow.
func (p *Proxy) use(name string) *entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.services[name]
	if e == nil {
		e = &entry{turn: make(chan struct{}, 1), shared: &shared{trust: p.options.TrustForwarded}}
		e.shared.stats.traffic.begin()
		if dir := p.options.AccessLog; dir != "" {
			e.shared.log = newAccessLog(dir, name, p.options.AccessLogSize, p.options.Log)
		}
		p.services[name] = e
	}
	e.uses++
	return e
}

// letGo ends a use. Of a name that is not served and has nothing left to drain nothing is
// kept: there may be as many as anybody likes, one after the other.
func (p *Proxy) letGo(name string, e *entry) {
	p.mu.Lock()
	e.uses--
	over := p.services[name] == e && e.uses == 0 && e.current == nil && len(e.draining) == 0
	if over {
		delete(p.services, name)
	}
	p.mu.Unlock()
	if over {
		e.shared.close()
	}
}

// list returns the services that are served, by name.
func (p *Proxy) list() []*service {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*service
	for _, e := range p.services {
		if e.current != nil {
			out = append(out, e.current)
		}
	}
	slices.SortFunc(out, func(a, b *service) int { return strings.Compare(a.spec.Name, b.spec.Name) })
	return out
}

// housekeeping closes connections to targets that are idle, once a second, and
// sleeps when there were no requests for so long that there can be none.
func (p *Proxy) housekeeping() {
	const round = time.Second
	tick := time.NewTicker(round)
	defer tick.Stop()
	for quiet := time.Duration(0); ; quiet += round {
		if p.busy.Swap(false) {
			quiet = 0
		}
		if quiet > idleLimit+round {
			tick.Stop()
			if p.options.Quiet != nil {
				p.options.Quiet()
			}
			select {
			case <-p.done:
				return
			case <-p.stirred:
			}
			tick.Reset(round)
			quiet = 0
		}
		select {
		case <-p.done:
			return
		case now := <-tick.C:
			for _, s := range p.list() {
				for _, t := range s.targets {
					t.prune(now)
				}
			}
		}
	}
}

// stir keeps housekeeping awake. Every request calls it, and every change of what is served.
func (p *Proxy) stir() {
	if p.busy.Load() {
		return
	}
	p.busy.Store(true)
	select {
	case p.stirred <- struct{}{}:
	default:
	}
}

// HTTPAddr, HTTPSAddr, ControlAddr and MetricsAddr are the addresses that are
// listened at; empty: none.
func (p *Proxy) HTTPAddr() string    { return p.addrs.http }
func (p *Proxy) HTTPSAddr() string   { return p.addrs.https }
func (p *Proxy) ControlAddr() string { return p.addrs.control }
func (p *Proxy) MetricsAddr() string { return p.addrs.metrics }

// RootCertificate is the local CA's root, PEM.
func (p *Proxy) RootCertificate() []byte { return encodeCertificate(p.certs.Root()) }

const (
	// freshWait is how long a stop waits for the first request of connections that are
	// just being made, and for one more on those that are kept: only with an answer can a
	// client of HTTP/1.1 be told to send no more, without losing what it just sends.
	freshWait = time.Second
	// stopTunnels is the time over which a stop closes WebSockets.
	stopTunnels = 10 * time.Second
)

// Shutdown stops accepting, lets what is in flight finish until ctx ends, and
// closes. Idle connections are closed within a second, WebSockets within ten.
func (p *Proxy) Shutdown(ctx context.Context) error { return p.leave(ctx, false) }

// leave is Shutdown, or with keep Finish.
func (p *Proxy) leave(ctx context.Context, keep bool) error {
	p.finishing.Store(keep)
	p.closeListeners()
	p.stopping.Store(true)
	p.conns.wake()
	// Some browsers open connections that they never use: these are not waited
	// for as long as a request is.
	soon, cancel := context.WithTimeout(ctx, freshWait)
	_ = p.fresh.wait(soon)
	p.conns.wait(soon)
	cancel()
	defer p.endTunnelsLater(ctx, keep)()
	err := p.running.wait(ctx)
	// Those that were told that their connection ends may still have to read it.
	soon, cancel = context.WithTimeout(ctx, lingering)
	p.conns.wait(soon)
	cancel()
	if err != nil {
		err = fmt.Errorf("%d requests were cut off: %w", p.running.count(), err)
	}
	return errors.Join(err, p.Close())
}

// endTunnelsLater is endTunnels, with keep towards the end of ctx.
func (p *Proxy) endTunnelsLater(ctx context.Context, keep bool) (stop func()) {
	end, ok := ctx.Deadline()
	if !keep || !ok {
		return p.endTunnels(ctx)
	}
	timer := time.AfterFunc(time.Until(end)-2*stopTunnels, func() { p.endTunnels(ctx) })
	return func() { timer.Stop() }
}

// endTunnels closes the WebSockets, over half of the time that is left at most.
func (p *Proxy) endTunnels(ctx context.Context) (stop func()) {
	within := stopTunnels
	if end, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(end)/2)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var stops []func()
	for _, e := range p.services {
		targets := e.draining
		if e.current != nil {
			targets = append(slices.Clone(targets), e.current.targets...)
		}
		for _, t := range targets {
			stops = append(stops, t.endTunnels(within))
		}
	}
	return func() {
		for _, f := range stops {
			f()
		}
	}
}

// Close stops at once. The state on disk is always whole.
func (p *Proxy) Close() error {
	p.stopping.Store(true)
	p.mu.Lock()
	undo := p.stop
	p.stop = nil
	p.mu.Unlock()
	for _, f := range slices.Backward(undo) {
		f()
	}
	return nil
}

// closeTargets also ends the logs, after the last request.
func (p *Proxy) closeTargets() {
	p.mu.Lock()
	entries := make([]*entry, 0, len(p.services))
	for _, e := range p.services {
		entries = append(entries, e)
	}
	p.mu.Unlock()
	for _, e := range entries {
		if e.current != nil {
			for _, t := range e.current.targets {
				t.close()
			}
		}
		for _, t := range e.draining {
			t.close()
		}
		e.shared.close()
	}
}

// metricsHandler serves Prometheus.
func (p *Proxy) metricsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		p.writeMetrics(w)
	})
	return mux
}

var _ io.Closer = (*Proxy)(nil)

func portOf(a net.Addr) int {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.Port
	}
	return 0
}
