package proxy

import (
	"cmp"
	"context"
	"net/netip"
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
	from   map[netip.Prefix]int // how many of these, by address
	ending int                  // of these: told to end
	swept  time.Time            // when idle ones were last ended
	turned int64                // connections that were not taken
	closed bool
}

// add is false once the proxy is closed, and while there are too many connections that are
// at work. Of those that wait for a request, the oldest make room. Beyond the bound, by an
// eighth, there is room for addresses with less than their share: none can keep others out.
func (s *clientConns) add(c *clientConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	from := guesser(c.peer)
	if !s.roomLocked(from) {
		s.turned++
		return false
	}
	if s.open == nil {
		s.open, s.from = map[*clientConn]struct{}{}, map[netip.Prefix]int{}
	}
	s.open[c] = struct{}{}
	s.countLocked(c, from)
	return true
}

// move counts c by the address that it turned out to be of; false: that has no room.
func (s *clientConns) move(c *clientConn, peer netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := guesser(peer)
	s.discountLocked(c)
	room := s.most == 0 || len(s.open)-s.ending <= s.most || s.from[from] < s.share()
	s.countLocked(c, from)
	if !room {
		s.turned++
	}
	return room
}

// share is how many connections one address may have before it gives way to others.
func (s *clientConns) share() int { return max(1, s.most/8) }

func (s *clientConns) roomLocked(from netip.Prefix) bool {
	if s.most == 0 || len(s.open)-s.ending < s.most {
		return true
	}
	s.makeRoomLocked(time.Now())
	beyond := len(s.open) - s.ending - s.most
	return beyond < 0 || beyond < s.share() && s.from[from] < s.share()
}

func (s *clientConns) countLocked(c *clientConn, from netip.Prefix) {
	c.from = from
	s.from[from]++
}

func (s *clientConns) discountLocked(c *clientConn) {
	if s.from[c.from]--; s.from[c.from] == 0 {
		delete(s.from, c.from)
	}
}

func (s *clientConns) remove(c *clientConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.open[c]; !open {
		return
	}
	delete(s.open, c)
	s.discountLocked(c)
	if c.ending {
		s.ending--
	}
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

// waiting is a connection that waits for a request since then, and is of an address that
// has more of them than its share.
type waiting struct {
	c     *clientConn
	since int64
	heavy bool
}

// makeRoomLocked ends an eighth of the connections, if so many wait for a request: first
// those of addresses that have more than their share, and of these the oldest.
func (s *clientConns) makeRoomLocked(now time.Time) {
	if now.Sub(s.swept) < time.Second {
		return
	}
	s.swept = now
	var list []waiting
	for c := range s.open {
		if since := c.restsSince(); since != 0 && !c.ending {
			list = append(list, waiting{c, since, s.from[c.from] > s.share()})
		}
	}
	slices.SortFunc(list, func(a, b waiting) int {
		switch {
		case a.heavy == b.heavy:
			return cmp.Compare(a.since, b.since)
		case a.heavy:
			return -1
		}
		return 1
	})
	list = list[:min(len(list), s.share())]
	for _, w := range list {
		w.c.ending = true
	}
	s.ending += len(list)
	// Not here: a close waits until whoever reads has let go, and all wait for the lock.
	go s.end(list)
	if s.full != nil {
		go s.full(len(list))
	}
}

// end closes connections that were told to end, unless they are at work by now.
func (s *clientConns) end(list []waiting) {
	for _, w := range list {
		s.mu.Lock()
		waits := w.c.restsSince() == w.since
		if _, open := s.open[w.c]; open && !waits {
			w.c.ending = false
			s.ending--
		}
		s.mu.Unlock()
		if waits {
			w.c.raw.Conn.Close()
		}
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
