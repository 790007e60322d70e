package proxy

import (
	"context"
	"sync"
	"time"
)

// clientConns are the open connections of clients. They have a lock of their own,
// held for moments: every new connection needs it, and Proxy.mu is held while a
// service's state goes to the disk.
type clientConns struct {
	mu     sync.Mutex
	open   map[*clientConn]struct{}
	closed bool
}

// add is false once the proxy is closed.
func (s *clientConns) add(c *clientConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
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

// onWake sets what ends the connection's wait for a next request.
func (s *clientConns) onWake(c *clientConn, f func()) {
	s.mu.Lock()
	c.wake = f
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

// close cuts all off, and those to come.
func (s *clientConns) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		c.raw.Close()
	}
}
