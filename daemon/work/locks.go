package work

import (
	"context"
	"sync"
	"time"
)

// Locks gives every name a mutex of its own, taken with a context. Its zero value is ready, and
// safe for any number of goroutines.
type Locks struct {
	mu sync.Mutex
	m  map[string]*namedLock
}

type namedLock struct {
	c     chan struct{} // holds one when taken
	mu    sync.Mutex
	since time.Time // when it was taken last
}

// tellAgain is how often who waits for a lock is told for what.
const tellAgain = time.Minute

// Lock waits for the named lock until ctx ends, whose cause it then returns. waiting, if not nil, is called when another holds it, at
// once and from time to time, with since when that is.
func (l *Locks) Lock(ctx context.Context, name string, waiting func(since time.Time)) (unlock func(), err error) {
	n := l.named(name)
	select {
	case n.c <- struct{}{}:
		return n.taken(), nil
	default:
	}
	tick := time.NewTicker(tellAgain)
	defer tick.Stop()
	for {
		if waiting != nil {
			n.mu.Lock()
			since := n.since
			n.mu.Unlock()
			waiting(since)
		}
		select {
		case n.c <- struct{}{}:
			return n.taken(), nil
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (l *Locks) named(name string) *namedLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = map[string]*namedLock{}
	}
	n := l.m[name]
	if n == nil {
		n = &namedLock{c: make(chan struct{}, 1)}
		l.m[name] = n
	}
	return n
}

func (n *namedLock) taken() (unlock func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.since = time.Now()
	return func() { <-n.c }
}
