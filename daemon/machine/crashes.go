package machine

import (
	"sync"
	"time"
)

// crashes remembers how often each container has crashed of late.
type crashes struct {
	mu       sync.Mutex
	failures map[string]failure
}

type failure struct {
	count int
	last  time.Time
}

const (
	maxBackoff   = 5 * time.Minute
	forgiveAfter = 10 * time.Minute // of running without a crash
)

// delay counts a crash and tells how long to wait before the restart: none at first,
// then from one second up, doubling.
func (c *crashes) delay(container string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.failures[container]
	if time.Since(f.last) > forgiveAfter {
		f.count = 0
	}
	f.count++
	f.last = time.Now()
	c.failures[container] = f
	if f.count == 1 {
		return 0
	}
	return min(time.Second<<min(f.count-2, 16), maxBackoff)
}

// forget lets a container begin anew, which is gone.
func (c *crashes) forget(container string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.failures, container)
}
