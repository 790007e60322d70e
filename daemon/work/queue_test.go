package work

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestQueue: no more builds run than may, in the order in which they came; who waits is told
// of how many before them, and may give up.
func TestQueue(t *testing.T) {
	q := &Queue{Most: 2}
	never := func(running, before int) { t.Errorf("told to wait for %d and %d", running, before) }
	first, err := q.Enter(t.Context(), never)
	if err != nil {
		t.Fatal(err)
	}
	second, err := q.Enter(t.Context(), never)
	if err != nil {
		t.Fatal(err)
	}
	order, told := make(chan int, 3), make(chan [2]int, 3)
	leaves := make(chan func(), 3)
	giveUp, cancel := context.WithCancel(t.Context())
	for i, ctx := range []context.Context{t.Context(), giveUp, t.Context()} {
		go func() {
			leave, err := q.Enter(ctx, func(running, before int) { told <- [2]int{running, before} })
			if err != nil {
				if !errors.Is(err, context.Canceled) || i != 1 {
					t.Errorf("%d: %v", i, err)
				}
				order <- -i
				return
			}
			order <- i
			leaves <- leave
		}()
		if got := <-told; got != [2]int{2, i} {
			t.Errorf("the build %d is told of %v", i, got)
		}
	}
	cancel()
	if got := <-order; got != -1 {
		t.Errorf("%d instead of the one that gave up", got)
	}
	first()
	if got := <-order; got != 0 {
		t.Errorf("the build %d is next", got)
	}
	second()
	if got := <-order; got != 2 {
		t.Errorf("the build %d is next", got)
	}
	(<-leaves)()
	(<-leaves)()
	if q.running != 0 || len(q.waiting) != 0 {
		t.Errorf("at the end %d run and %d wait", q.running, len(q.waiting))
	}
}

// TestQueueUnderLoad: under many comings, goings and givings up the bound holds, and no turn is lost.
func TestQueueUnderLoad(t *testing.T) {
	q := &Queue{Most: 3}
	var now, most atomic.Int32
	var wait sync.WaitGroup
	for i := range 200 {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*time.Millisecond)
			defer cancel()
			leave, err := q.Enter(ctx, func(int, int) {})
			if err != nil {
				return
			}
			defer leave()
			n := now.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(100 * time.Microsecond) // it builds
			now.Add(-1)
		})
	}
	wait.Wait()
	if most.Load() > 3 || q.running != 0 || len(q.waiting) != 0 {
		t.Errorf("%d at once; at the end %d run and %d wait", most.Load(), q.running, len(q.waiting))
	}
}
