package proxy

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"towline/proxy/control"
)

// changes are the calls that change what is served. A hand-over comes between them: the
// process that takes over has read the routes from disk, and would never learn of a change
// that the one before makes afterwards.
type changes struct {
	mu      sync.Mutex
	running inflight
	over    chan struct{} // a hand-over is under way; closed at its end
	gone    bool          // there was one: the other process has the say
}

// begin waits while a hand-over is under way; false: the process that has taken over is to
// be asked.
func (c *changes) begin(ctx context.Context) bool {
	for {
		c.mu.Lock()
		if c.gone {
			c.mu.Unlock()
			return false
		}
		over := c.over
		if over == nil {
			c.running.add()
			c.mu.Unlock()
			return true
		}
		c.mu.Unlock()
		select {
		case <-over:
		case <-ctx.Done():
			return false
		}
	}
}

// hold keeps changes out, and returns when none is under way.
func (c *changes) hold(ctx context.Context) (release func(handedOver bool), err error) {
	c.mu.Lock()
	if c.over != nil || c.gone {
		c.mu.Unlock()
		return nil, errors.New("another hand-over is under way")
	}
	c.over = make(chan struct{})
	c.mu.Unlock()
	release = func(handedOver bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.gone = handedOver
		close(c.over)
		c.over = nil
	}
	if err := c.running.wait(ctx); err != nil {
		release(false)
		return nil, errors.New("a deploy is under way that does not end; try again later")
	}
	return release, nil
}

// changesLimit is how long a hand-over waits for the deploys under way: longer than most
// give a process to become ready.
const changesLimit = 100 * time.Second

// HandOver has Options.HandOver start a process that takes the listeners over, at a moment
// at which nothing is changed. After success this proxy is to be ended by Finish.
func (p *Proxy) HandOver(ctx context.Context) error {
	if p.options.HandOver == nil {
		return errors.New("this proxy cannot hand over")
	}
	ctx, cancel := context.WithTimeout(ctx, changesLimit)
	defer cancel()
	release, err := p.changes.hold(ctx)
	if err != nil {
		return err
	}
	err = p.options.HandOver(p)
	release(err == nil)
	if err == nil {
		close(p.handedOver)
	}
	return err
}

// HandedOver is closed once another process has taken over.
func (p *Proxy) HandedOver() <-chan struct{} { return p.handedOver }

// Finish is Shutdown for a proxy that has handed over: its WebSockets stay open too, until
// shortly before ctx ends.
func (p *Proxy) Finish(ctx context.Context) error { return p.leave(ctx, true) }

// controlHandler lets calls through while no hand-over is under way.
func (p *Proxy) controlHandler() http.Handler {
	inner := control.Handler(p)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !control.Changes(r) {
			inner.ServeHTTP(w, r)
			return
		}
		if !p.changes.begin(r.Context()) {
			panic(http.ErrAbortHandler) // the client asks again, and finds the other process
		}
		defer p.changes.running.done()
		inner.ServeHTTP(w, r)
	})
}
