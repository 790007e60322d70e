package container

import (
	"sync"
	"time"
)

// Crashes remembers how often each container has crashed of late. Its zero value is ready.
type Crashes struct {
	mu       sync.Mutex
	failures map[string]failure
}

type failure struct {
	count int
	last  time.Time
}

const (
	// MaxBackoff is the longest wait before what fails again and again is tried once more.
	MaxBackoff   = 5 * time.Minute
	forgiveAfter = 10 * time.Minute // of running without a crash
)

// Delay counts a crash and tells how long to wait before the restart: none at first,
// then from one second up, doubling.
func (c *Crashes) Delay(container string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.failures[container]
	if time.Since(f.last) > forgiveAfter {
		f.count = 0
	}
	f.count++
	f.last = time.Now()
	if c.failures == nil {
		c.failures = map[string]failure{}
	}
	c.failures[container] = f
	if f.count == 1 {
		return 0
	}
	return min(time.Second<<min(f.count-2, 16), MaxBackoff)
}

// Forget lets a container begin anew, which is gone.
func (c *Crashes) Forget(container string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.failures, container)
}
