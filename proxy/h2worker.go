package proxy

import (
	"sync/atomic"

	"towline/proxy/message"
)

// maxIdleWorkers bounds those kept, of all connections together.
const maxIdleWorkers = 64

var (
	h2Work        = make(chan *h2Stream)
	h2IdleWorkers atomic.Int32
)

// h2Worker is a goroutine that serves one stream after the other: a goroutine's
// stack grows by being copied, for each request the same way again. It lends
// its memory to the stream that it is serving, and to nobody else.
type h2Worker struct {
	send   []byte          // for what goes to the target
	answer []message.Field // of the target
	head   []byte          // of the answer, encoded
}

// What a worker keeps of its memory between streams, in bytes and in fields.
const (
	workerBytes  = 16 << 10
	workerFields = 64
)

// dispatch has the stream served.
func dispatch(s *h2Stream) {
	select {
	case h2Work <- s:
	default:
		go new(h2Worker).work(s)
	}
}

func (w *h2Worker) work(s *h2Stream) {
	for {
		s.run(w)
		if h2IdleWorkers.Add(1) > maxIdleWorkers {
			h2IdleWorkers.Add(-1)
			return
		}
		s = <-h2Work
		h2IdleWorkers.Add(-1)
	}
}

// lend gives the stream the worker's memory.
func (w *h2Worker) lend(s *h2Stream) {
	s.x.out.b, s.x.res.Fields, s.head = w.send[:0], w.answer[:0], w.head[:0]
	w.send, w.answer, w.head = nil, nil, nil
}

// takeBack ends the loan. An exchange with an h2c target is not asked for it:
// net/http may hold a callback for a while that reaches the answer's fields.
func (w *h2Worker) takeBack(s *h2Stream) {
	x := &s.x
	if t := x.target; t != nil && t.spec.H2C {
		return
	}
	x.res.Reset()
	if cap(x.out.b) <= workerBytes && cap(s.head) <= workerBytes && cap(x.res.Fields) <= workerFields {
		w.send, w.answer, w.head = x.out.b, x.res.Fields, s.head
	}
	x.out.b, x.res.Fields, s.head = nil, nil, nil
}
