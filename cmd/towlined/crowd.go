package main

import "sync"

// crowd counts the calls of each member that are under way, and bounds them.
type crowd struct {
	limit int

	mu   sync.Mutex
	open map[string]int
}

func newCrowd(limit int) *crowd { return &crowd{limit: limit, open: map[string]int{}} }

// enter tells whether the member may have one more, which lasts until leave is called. The
// operator on the host, who has no name, always may.
func (c *crowd) enter(member string) (leave func(), ok bool) {
	if member == "" {
		return func() {}, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[member] >= c.limit {
		return nil, false
	}
	c.open[member]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open[member]--; c.open[member] == 0 {
			delete(c.open, member)
		}
	}, true
}
