// Package faults stands between a daemon and its neighbours, for tests: it knows every call
// that is made, has the call that a test names fail, hang or answer late, and ends a daemon
// at any moment as a kill does.
package faults

import (
	"context"
	"slices"
	"sync"
	"time"

	"towline/daemon"
)

// Way is how a call goes wrong.
type Way string

// The ways in which a call goes wrong.
const (
	Fails  Way = "fails"        // nothing is done: the neighbour does not answer
	Breaks Way = "breaks"       // nothing is done: the neighbour refuses, and is there
	Hangs  Way = "hangs"        // nothing is done, until the context ends or the adapter gives up
	Late   Way = "answers late" // it is done, and nobody comes to know
)

// Call is one that a daemon made.
type Call struct {
	Method  string // with its port: "Engine.StartContainer"
	Subject string // a container, an app
}

func (c Call) String() string { return c.Method + " " + c.Subject }

// Line leads from one daemon to all of its neighbours.
type Line struct {
	mu    sync.Mutex
	calls []Call
	rule  func(n int, c Call) Way // of the n-th call, from 0
	dead  chan struct{}           // closed once the daemon is dead
	over  chan struct{}           // closed once the dead may unwind
	met   []Call
}

// NewLine returns a line on which everything goes well.
func NewLine() *Line {
	return &Line{dead: make(chan struct{}), over: make(chan struct{})}
}

// Rule has rule say how each call from now on goes wrong, "" for not at all; n counts them
// from 0.
func (l *Line) Rule(rule func(n int, c Call) Way) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rule, l.calls, l.met = rule, nil, nil
}

// Calls are those since the last Rule, in their order.
func (l *Line) Calls() []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.calls)
}

// Met are the calls that went wrong since the last Rule.
func (l *Line) Met() []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.met)
}

// Kill ends the daemon as a kill of its process does: none of its goroutines gets on at a
// neighbour or at the store any more.
func (l *Line) Kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.dead:
	default:
		close(l.dead)
	}
}

// Die is Kill, called by the daemon itself at the place where it dies: it does not return
// before Bury.
func (l *Line) Die() {
	l.Kill()
	<-l.over
}

// Dead is closed once the daemon is dead.
func (l *Line) Dead() <-chan struct{} { return l.dead }

// Bury lets the goroutines of a dead daemon end: each call that they make fails from now on.
func (l *Line) Bury() {
	l.Kill()
	close(l.over)
}

var errDead = daemon.Errorf(daemon.Failed, "this daemon is dead")

// Alive tells whether the daemon is.
func (l *Line) Alive() bool {
	select {
	case <-l.dead:
		return false
	default:
		return true
	}
}

// alive waits for Bury once the daemon is dead, and then fails.
func (l *Line) alive() error {
	select {
	case <-l.dead:
		<-l.over
		return errDead
	default:
		return nil
	}
}

// limits are how long the adapters wait for an answer, where it is not as long as their
// callers want: see daemon/podman/limits.go and daemon/router.
var limits = map[string]time.Duration{
	"Engine.StopContainer": 15 * time.Minute, "Engine.RemoveContainer": 15 * time.Minute, "Engine.RemoveNetwork": 15 * time.Minute,
	"Engine.RemoveVolume": 15 * time.Minute, "Engine.UntagImage": 15 * time.Minute, "Engine.EnsureImage": 2 * time.Hour,
	"Engine.LoadImage": 2 * time.Hour, "Engine.SaveImage": 2 * time.Hour,
	"Engine.WaitContainer": forever, "Engine.Exec": forever, "Router.Pause": forever,
}

const (
	usual   = 2 * time.Minute
	forever = 1000 * time.Hour
)

// do makes a call, unless it is one that goes wrong. effect does what it is for.
func (l *Line) do(ctx context.Context, method, subject string, effect func() error) error {
	if err := l.alive(); err != nil {
		return err
	}
	c := Call{method, subject}
	l.mu.Lock()
	var way Way
	if l.rule != nil {
		way = l.rule(len(l.calls), c)
	}
	l.calls = append(l.calls, c)
	if way != "" {
		l.met = append(l.met, c)
	}
	l.mu.Unlock()
	err := l.goWrong(ctx, way, c, effect)
	if dead := l.alive(); dead != nil {
		return dead // whatever it was: nobody is there to hear of it
	}
	return err
}

func (l *Line) goWrong(ctx context.Context, way Way, c Call, effect func() error) error {
	switch way {
	case Fails:
		return away(c)
	case Breaks:
		return daemon.Errorf(daemon.Failed, "%s: it does not work", c.Method)
	case Hangs:
		limit, ok := limits[c.Method]
		if !ok {
			limit = usual
		}
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return away(c)
		case <-l.dead:
			return nil // which nobody hears
		}
	case Late:
		if err := effect(); err != nil {
			return err
		}
		return away(c)
	}
	return effect()
}

func away(c Call) error {
	return daemon.Errorf(daemon.Unavailable, "%s: nobody answers", c.Method)
}

// get is do for a call that answers something.
func get[T any](l *Line, ctx context.Context, method, subject string, effect func() (T, error)) (v T, err error) {
	err = l.do(ctx, method, subject, func() (err error) {
		v, err = effect()
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return v, nil
}
