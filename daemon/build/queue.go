package build

import (
	"context"
	"sync"
)

// queue bounds how many builds run at once. Who comes first builds first.
type queue struct {
	most int // 0: no bound

	mu      sync.Mutex
	running int
	waiting []chan struct{} // closed when it is one's turn
}

// enter waits for one's turn and takes it; leave gives it to the next. told is called once
// if there is a wait, with how many builds run and how many wait before this one.
func (q *queue) enter(ctx context.Context, told func(running, before int)) (leave func(), err error) {
	q.mu.Lock()
	if q.most == 0 || q.running < q.most {
		q.running++
		q.mu.Unlock()
		return q.leave, nil
	}
	turn := make(chan struct{})
	running, before := q.running, len(q.waiting)
	q.waiting = append(q.waiting, turn)
	q.mu.Unlock()
	told(running, before)
	select {
	case <-turn:
		return q.leave, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	for i, other := range q.waiting {
		if other == turn {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			q.mu.Unlock()
			return nil, context.Cause(ctx)
		}
	}
	q.mu.Unlock()
	q.leave() // the turn came meanwhile
	return nil, context.Cause(ctx)
}

func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.running--
		return
	}
	close(q.waiting[0]) // which runs in the place of the one that leaves
	q.waiting = q.waiting[1:]
}
