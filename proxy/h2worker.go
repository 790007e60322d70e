package proxy

import "sync/atomic"

// A goroutine's stack grows by being copied, for each request the same way again. So
// the goroutines that serve streams are kept for the next ones.

// maxIdleWorkers bounds those kept, of all connections together.
const maxIdleWorkers = 64

var (
	h2Work        = make(chan *h2Stream)
	h2IdleWorkers atomic.Int32
)

// dispatch has the request served.
func (s *h2Stream) dispatch() {
	select {
	case h2Work <- s:
	default:
		go work(s)
	}
}

func work(s *h2Stream) {
	for {
		s.run()
		if h2IdleWorkers.Add(1) > maxIdleWorkers {
			h2IdleWorkers.Add(-1)
			return
		}
		s = <-h2Work
		h2IdleWorkers.Add(-1)
	}
}
