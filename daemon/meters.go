package daemon

import (
	"context"
	"time"
)

// TrafficCounter counts the requests of apps. The adapter is daemon/router, and the proxy counts.
type TrafficCounter interface {
	// Traffic is what was counted of each route until now, by its app. If nothing was counted since
	// the report with that mark, it waits until something is, and after wait reports none.
	Traffic(ctx context.Context, mark string, wait time.Duration) (TrafficReport, error)
}

// TrafficReport is what was counted until now.
type TrafficReport struct {
	Mark string
	Apps []Traffic
}

// Traffic is what was counted of one app's requests, from a beginning on.
type Traffic struct {
	App        string
	Began      string   // another one: counted from nothing
	Status     [6]int64 // requests by the first digit of the answer's status; 0: there was none
	In, Out    int64    // bytes of bodies, and of WebSockets
	WebSockets int64    // open now
	// Took and First tell how long requests took, to the end of the answer and to its first byte:
	// buckets of package sketch, each with how many are in it, modulo 2^32.
	Took, First []uint32
}

// Meters tell what containers and the machine use. The adapter is daemon/cgroup.
type Meters interface {
	// Containers reads those of all containers of this machine that run, whoever made them. What
	// costs more to read (io, pressure, peak) is in it only if whole is set. One that ends
	// meanwhile is left out.
	Containers(whole bool) ([]Reading, error)
	// Host reads those of the machine.
	Host() (Reading, error)
}

// Reading is what a container, or the machine, has used since it began, and uses now. What the kernel
// does not tell is 0.
type Reading struct {
	ID        string // of the container
	CPU       time.Duration
	Throttled time.Duration // that it waited at its limit of processor time
	Memory    int64         // bytes, without files that are cached and not in use
	Peak      int64         // bytes, the most that it had, with all that is cached
	Limit     int64         // bytes; 0: none
	Swap      int64         // bytes
	OOMKills  int64         // processes that the kernel has killed at the limit
	Pids      int64         // processes and threads
	Read      int64         // bytes, from disks
	Written   int64
	// How long some of its processes waited for one of these.
	CPUPressure, MemoryPressure, IOPressure time.Duration
}

// History keeps measurements by the time that they are of, and may lose them. The adapter is
// daemon/history.
type History interface {
	// Put keeps data as that of the level and time, in place of what there was.
	Put(ctx context.Context, level int, at time.Time, data []byte) error
	// Get is the data of the level from a time on and before another, oldest first.
	Get(ctx context.Context, level int, from, to time.Time) ([]Measured, error)
	// Newest is the last time of a level that has data; zero: none has.
	Newest(ctx context.Context, level int) (time.Time, error)
	// Forget drops the data of a level from before that time.
	Forget(ctx context.Context, level int, before time.Time) error
}

// Measured is what History keeps of one time.
type Measured struct {
	Time time.Time
	Data []byte
}
