package proxy

import (
	"context"
	"sync"
	"sync/atomic"
)

// inflight counts requests and lets others wait until there are none.
type inflight struct {
	n       atomic.Int64
	waiting atomic.Int32
	mu      sync.Mutex
	zero    chan struct{} // closed, and made anew, when n reaches 0
}

func (f *inflight) add()       { f.n.Add(1) }
func (f *inflight) count() int { return int(f.n.Load()) }

func (f *inflight) done() {
	if f.n.Add(-1) == 0 && f.waiting.Load() > 0 {
		f.mu.Lock()
		if f.zero != nil {
			close(f.zero)
			f.zero = nil
		}
		f.mu.Unlock()
	}
}

// wait returns when the count is 0, or with ctx's error.
func (f *inflight) wait(ctx context.Context) error {
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	for {
		f.mu.Lock()
		if f.zero == nil {
			f.zero = make(chan struct{})
		}
		zero := f.zero
		f.mu.Unlock()
		if f.n.Load() == 0 {
			return nil
		}
		select {
		case <-zero:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
