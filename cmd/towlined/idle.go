package main

import (
	"runtime/debug"
	"sync"
	"time"

	"towline/cmd/internal/idle"
)

const (
	// idleDelay is how long nobody must have asked for anything before memory is given
	// back.
	idleDelay = 5 * time.Second
	// restInterval is how often what the daemon does by itself is cleared up after, and restAfter
	// how long after the whole step by the clock at which it measures. The heap, which takes longer,
	// is cleared up at each heapRests-th.
	restInterval = 10 * time.Second
	restAfter    = 3 * time.Second
	heapRests    = 3
)

// idler gives memory back to the machine when the daemon has had nothing to do for a
// while: a deploy takes tens of megabytes, of which the next hours need none.
type idler struct {
	mu    sync.Mutex
	busy  int
	timer *time.Timer
	rests int // since something was done
}

// newIdler begins idle.
func newIdler() *idler {
	i := &idler{}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.timer = time.AfterFunc(idleDelay, i.rest)
	return i
}

// work notes that something is done until done is called.
func (i *idler) work() (done func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.busy++
	i.rests = 0
	i.timer.Stop()
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.busy--; i.busy == 0 {
			i.timer.Reset(idleDelay)
		}
	}
}

func (i *idler) rest() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.busy > 0 {
		return
	}
	if i.rests%heapRests == 0 {
		debug.FreeOSMemory()
	}
	i.rests++
	idle.ReleaseProgram()
	now := time.Now()
	i.timer.Reset(now.Truncate(restInterval).Add(restInterval + restAfter).Sub(now))
}
