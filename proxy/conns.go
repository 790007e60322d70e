package proxy

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// clientConns are the open connections of clients. They have a lock of their own,
// held for moments: every new connection needs it, and Proxy.mu is held while a
// service's state goes to the disk.
type clientConns struct {
	most int             // how many there may be; 0: any number
	full func(ended int) // called, at most once a second, when that many were there

	mu     sync.Mutex
	open   map[*clientConn]struct{}
	swept  time.Time // when idle ones were last ended
	turned int64     // connections that were not taken
	closed bool
}

// add is false once the proxy is closed, and while there are too many connections that are
// at work. Of those that wait for a request, the oldest make room.
func (s *clientConns) add(c *clientConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.most > 0 && len(s.open) >= s.most {
		s.makeRoomLocked(time.Now())
		// Those that were ended just now are still counted.
		if len(s.open) >= s.most+max(1, s.most/8) {
			s.turned++
			return false
		}
	}
	if s.open == nil {
		s.open = map[*clientConn]struct{}{}
	}
	s.open[c] = struct{}{}
	return true
}

func (s *clientConns) remove(c *clientConn) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
}

func (s *clientConns) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// wait returns when none is open, or ctx ends.
func (s *clientConns) wait(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.count() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// onWait sets what ends the connection's wait for a next request, and what tells since when
// it waits, in Unix nanoseconds; 0: it does not.
func (s *clientConns) onWait(c *clientConn, wake func(), resting func() int64) {
	s.mu.Lock()
	c.wake, c.resting = wake, resting
	s.mu.Unlock()
}

// wake ends those that wait for a next request.
func (s *clientConns) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if c.wake != nil {
			c.wake()
		}
	}
}

// makeRoomLocked ends an eighth of the connections, those that have waited for a request
// for longest, if so many wait.
func (s *clientConns) makeRoomLocked(now time.Time) {
	if now.Sub(s.swept) < time.Second {
		return
	}
	s.swept = now
	type waiting struct {
		c     *clientConn
		since int64
	}
	var list []waiting
	for c := range s.open {
		if since := c.restsSince(); since != 0 {
			list = append(list, waiting{c, since})
		}
	}
	slices.SortFunc(list, func(a, b waiting) int { return cmp.Compare(a.since, b.since) })
	list = list[:min(len(list), max(1, s.most/8))]
	for _, w := range list {
		w.c.raw.Conn.Close()
	}
	if s.full != nil {
		go s.full(len(list))
	}
}

// turnedAway is how many connections were not taken, for there were too many.
func (s *clientConns) turnedAway() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turned
}

// close cuts all off, and those to come.
func (s *clientConns) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		c.raw.Close()
	}
}
