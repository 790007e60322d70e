package ci

import (
	"context"
	"sync"
)

// queue lets so many runs go on at once. The others wait in the order in which they came.
type queue struct {
	mu   sync.Mutex
	free int
	wait []chan struct{}
}

// enter waits for the run's turn, and returns what ends it. ahead is called before it waits, with
// how many wait before it.
func (q *queue) enter(ctx context.Context, ahead func(n int)) (leave func(), err error) {
	q.mu.Lock()
	if q.free > 0 {
		q.free--
		q.mu.Unlock()
		return q.leave, nil
	}
	turn := make(chan struct{})
	n := len(q.wait)
	q.wait = append(q.wait, turn)
	q.mu.Unlock()
	ahead(n)
	select {
	case <-turn:
		return q.leave, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.wait {
		if w == turn {
			q.wait = append(q.wait[:i], q.wait[i+1:]...)
			return nil, context.Cause(ctx)
		}
	}
	q.next() // it was its turn just now
	return nil, context.Cause(ctx)
}

func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next()
}

// next hands a place on. The lock is held.
func (q *queue) next() {
	if len(q.wait) == 0 {
		q.free++
		return
	}
	close(q.wait[0])
	q.wait = q.wait[1:]
}
