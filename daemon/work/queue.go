package work

import (
	"context"
	"sync"
)

// Queue bounds how many run at once, of builds say. Who comes first runs first.
type Queue struct {
	Most int // 0: no bound

	mu      sync.Mutex
	running int
	waiting []chan struct{} // closed when it is one's turn
}

// Enter waits for one's turn and takes it; leave gives it to the next. told is called once
// if there is a wait, with how many run and how many wait before this one. An error is the
// cause of ctx's end.
func (q *Queue) Enter(ctx context.Context, told func(running, before int)) (leave func(), err error) {
	q.mu.Lock()
	if q.Most == 0 || q.running < q.Most {
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

func (q *Queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.running--
		return
	}
	close(q.waiting[0]) // which runs in the place of the one that leaves
	q.waiting = q.waiting[1:]
}
