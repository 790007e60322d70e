package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// maxPaused bounds the requests that wait at one closed gate. A waiting request
// holds its connection and some kilobytes.
const maxPaused = 1000

// gate is where a service's requests wait while it is paused. It outlives the
// service's versions: a deploy while paused stays paused.
type gate struct {
	running inflight // requests; WebSockets leave it once they are tunnels
	closed  atomic.Bool

	mu      sync.Mutex
	open    chan struct{} // closed on resume
	limit   time.Duration
	waiting int
}

// enter lets a request in unless the gate is closed.
func (g *gate) enter() bool {
	g.running.add()
	if !g.closed.Load() {
		return true
	}
	g.running.done()
	return false
}

func (g *gate) leave() { g.running.done() }

// wait returns true once the gate is open, false if that takes too long, if too many
// wait, or if the client is gone.
func (g *gate) wait(gone <-chan struct{}) bool {
	g.mu.Lock()
	open, limit := g.open, g.limit
	if open == nil {
		g.mu.Unlock()
		return true
	}
	if g.waiting >= maxPaused {
		g.mu.Unlock()
		return false
	}
	g.waiting++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.waiting--
		g.mu.Unlock()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-open:
		return true
	case <-timer.C:
		return false
	case <-gone:
		return false
	}
}

// enterGate lets the request in, at once or after a pause, which waited tells. Not
// entered: see gate.wait.
func (x *exchange) enterGate() (waited, entered bool) {
	g := &x.service.gate
	if g.enter() {
		x.inside = g
		return false, true
	}
	gone := make(chan struct{})
	x.cut.set(closer(sync.OnceFunc(func() { close(gone) })))
	defer x.cut.set(nil)
	x.watchClient()
	defer x.unwatch()
	for g.wait(gone) {
		if g.enter() {
			x.inside = g
			return true, true
		}
	}
	return true, false
}

// pause closes the gate and waits until the requests inside have left.
func (g *gate) pause(ctx context.Context, limit time.Duration) error {
	g.mu.Lock()
	if g.open == nil {
		g.open = make(chan struct{})
	}
	g.limit = limit
	g.closed.Store(true)
	g.mu.Unlock()
	return g.running.wait(ctx)
}

func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed.Store(false)
	if g.open != nil {
		close(g.open)
		g.open = nil
	}
}
