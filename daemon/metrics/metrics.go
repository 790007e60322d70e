// Package metrics measures what apps, add-ons and the machine do, where it happens: the proxy counts
// requests, and the kernel's files tell what containers use. It keeps the numbers in four levels, and
// adds up without averaging percentiles.
package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"towline/daemon"
)

// level is one of the resolutions that are kept.
type level struct {
	step time.Duration
	kept time.Duration
	how  byte // a frame is written
}

// levels are those on disk, by their number. The first is written each minute; each other is made of
// the one before.
var levels = []level{
	{time.Minute, 48 * time.Hour, exact},
	{10 * time.Minute, 14 * 24 * time.Hour, thin},
	{time.Hour, 400 * 24 * time.Hour, thinnest},
}

// What is kept in memory: frames of liveStep, for liveFor.
const (
	liveStep = 10 * time.Second
	liveFor  = 10 * time.Minute
)

// Options are what a room is made of. Traffic, Meters and History may be nil: then nothing is measured.
type Options struct {
	Name    string // of the installation
	Store   daemon.Store
	Engine  Containers            // whose labels name apps by their handles
	Traffic daemon.TrafficCounter // whose routes are called by handle
	Logs    daemon.Logs           // whose apps are called by handle
	Meters  daemon.Meters
	History daemon.History
	Log     *slog.Logger
}

// Containers finds containers, and lists those of this installation.
type Containers interface {
	Container(ctx context.Context, id string) (daemon.Container, error)
	ContainerList(ctx context.Context, labels map[string]string) ([]daemon.Container, error)
}

// Metrics measures, and tells what was measured. Run does the one; it is safe for any number of
// goroutines.
type Metrics struct {
	Options

	mu      sync.Mutex
	current *Frame // of the step that is not over
	minute  *Frame // what was measured of the minute that is not over, but for current
	live    []kept // the last liveFor, oldest first
	names   names
	open    map[Key]uint64 // WebSockets, as the proxy has last told
	killed  map[string]int // processes that the kernel was said to have killed, by container; of this minute

	counted map[string]daemon.Traffic // by route; the traffic loop's own

	// The sampling's own.
	ticked     time.Time             // the last, by the clock and monotonic
	containers map[string]*container // by ID
	learned    time.Time             // when the store was last asked for names; under mu
	forgot     time.Time             // when what is too old was last dropped
	failing    bool                  // the history takes nothing, which was said
}

// kept is a frame as it lies in memory.
type kept struct {
	start time.Time
	data  []byte
}

// New returns a room that has measured nothing.
func New(o Options) *Metrics {
	return &Metrics{Options: o, containers: map[string]*container{}, counted: map[string]daemon.Traffic{}, open: map[Key]uint64{}, killed: map[string]int{}}
}

// Run measures until ctx ends.
func (m *Metrics) Run(ctx context.Context) {
	if m.Meters == nil || m.History == nil {
		return
	}
	var both sync.WaitGroup
	if m.Traffic != nil {
		both.Go(func() { m.countTraffic(ctx) })
	}
	m.sample(ctx)
	both.Wait()
}

// sample reads what containers use, each liveStep, until ctx ends.
func (m *Metrics) sample(ctx context.Context) {
	for m.tick(ctx, time.Now()); ; {
		// At whole steps by the clock, so that a minute has its own six. A clock that jumps makes no
		// busy loop, and no long wait.
		now := time.Now()
		wait := now.Truncate(liveStep).Add(liveStep).Sub(now)
		select {
		case <-time.After(min(max(wait, time.Second), liveStep)):
			m.tick(ctx, time.Now())
		case <-ctx.Done():
			m.rest(ctx)
			return
		}
	}
}

// tick ends one step and begins the next.
func (m *Metrics) tick(ctx context.Context, now time.Time) {
	start := now.Truncate(liveStep).UTC()
	m.mu.Lock()
	whole := m.minute == nil || !m.minute.Start.Equal(start.Truncate(time.Minute))
	m.mu.Unlock()
	readings := m.read(whole)
	m.recognize(ctx, readings)
	over := m.turn(now, start, readings)
	for _, f := range over {
		m.keep(ctx, f)
	}
	if len(over) > 0 {
		m.mu.Lock()
		since := now.Sub(m.learned)
		m.mu.Unlock()
		if since < 0 || since > learnEvery {
			m.learn(ctx) // an app may have another name
		}
		m.rollUp(ctx, now)
	}
}

// turn ends the step with what was read at its end, and begins that of start. It returns the minutes
// that are over.
func (m *Metrics) turn(now, start time.Time, readings readings) (over []*Frame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil {
		m.current = newFrame(start)
	}
	if !m.ticked.IsZero() {
		// now has the monotonic time: how long it was says no clock that was set.
		m.current.Covered = min(max(now.Sub(m.ticked), 0), 2*liveStep)
	}
	m.charge(m.current, readings)
	for k, n := range m.open {
		p := m.current.at(k)
		p.n[webSockets] = max(p.n[webSockets], n)
	}
	m.ticked = now
	if f := m.current; len(f.Points) > 0 || f.Covered > 0 {
		m.live = append(m.live, kept{f.Start, f.encode(exact)})
		m.live = m.live[max(0, len(m.live)-int(liveFor/liveStep)):]
		if over = append(over, m.ended(f.Start)...); m.minute == nil {
			m.minute = newFrame(f.Start.Truncate(time.Minute))
		}
		m.minute.add(f)
	}
	over = append(over, m.ended(start)...)
	if readings.whole {
		clear(m.killed) // of containers that are gone
	}
	m.current = newFrame(start)
	return over
}

// ended takes the minute away if now is in another.
func (m *Metrics) ended(now time.Time) []*Frame {
	if m.minute == nil || m.minute.Start.Equal(now.Truncate(time.Minute)) {
		return nil
	}
	f := m.minute
	m.minute = nil
	return []*Frame{f}
}

// rest keeps what was measured of the minute that was not over when the daemon ends.
func (m *Metrics) rest(ctx context.Context) {
	m.mu.Lock()
	f := m.minute
	if f == nil {
		f = newFrame(m.current.Start.Truncate(time.Minute))
	}
	if m.current.Start.Truncate(time.Minute).Equal(f.Start) {
		f.add(m.current)
	}
	m.minute = nil
	m.current = newFrame(m.current.Start)
	m.mu.Unlock()
	m.keep(ctx, f)
}
