package proxy

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"towline/proxy/control"
	"towline/proxy/sketch"
)

// traffic is what was counted of one service for those who ask over the control socket. Counting
// takes no lock, and no memory after the first request. Health checks are not requests of an
// exchange, and are not in it.
type traffic struct {
	began   string // tells this count from an earlier one of the same service
	status  [6]atomic.Int64
	in, out atomic.Int64
	sockets atomic.Int64 // open

	// times are there once a target has had a request: many services have none.
	times atomic.Pointer[times]
}

// times count how long requests took. Each count goes round at 2^32.
type times struct {
	took, first [sketch.Buckets]atomic.Uint32
}

var beginnings atomic.Int64

func (t *traffic) begin() {
	t.began = strconv.FormatInt(time.Now().UnixNano(), 36) + "." + strconv.FormatInt(beginnings.Add(1), 36)
}

func (t *traffic) count(x *exchange, took time.Duration) {
	class := x.status / 100
	if class < 0 || class > 5 {
		class = 0
	}
	t.status[class].Add(1)
	if x.in > 0 {
		t.in.Add(x.in)
	}
	if x.status == 101 { // its bytes were counted as they moved, and its duration says nothing
		return
	}
	t.out.Add(x.bytes)
	if x.target == nil { // the answer is the proxy's own
		return
	}
	times := t.times.Load()
	if times == nil {
		times = t.begins()
	}
	times.took[sketch.Bucket(took)].Add(1)
	if x.first > 0 {
		times.first[sketch.Bucket(x.first)].Add(1)
	}
}

func (t *traffic) begins() *times {
	t.times.CompareAndSwap(nil, new(times))
	return t.times.Load()
}

// total grows with everything that is counted, but for bytes of WebSockets.
func (t *traffic) total() (n int64) {
	for i := range t.status {
		n += t.status[i].Load()
	}
	return n
}

func (t *traffic) report(service string) control.Traffic {
	r := control.Traffic{Service: service, Began: t.began, In: t.in.Load(), Out: t.out.Load(), WebSockets: t.sockets.Load()}
	for i := range t.status {
		r.Status[i] = t.status[i].Load()
	}
	if times := t.times.Load(); times != nil {
		r.Took, r.First = filled(&times.took), filled(&times.first)
	}
	return r
}

func filled(buckets *[sketch.Buckets]atomic.Uint32) (pairs []uint32) {
	for i := range buckets {
		if n := buckets[i].Load(); n > 0 {
			pairs = append(pairs, uint32(i), n)
		}
	}
	return pairs
}

// watching are those who wait for something to be counted. Where nobody does, tell costs a look.
type watching struct {
	waiters atomic.Int64
	mu      sync.Mutex
	changed chan struct{} // closed by the next that is counted
}

func (w *watching) tell() {
	if w.waiters.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

func (w *watching) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.changed
}

// Traffic implements control.Proxy.
func (p *Proxy) Traffic(ctx context.Context, mark string, wait time.Duration) (control.Report, error) {
	p.watching.waiters.Add(1)
	defer p.watching.waiters.Add(-1)
	timer := time.NewTimer(max(0, wait))
	defer timer.Stop()
	for {
		// Before the looking, so that nothing is counted in between.
		next := p.watching.next()
		list := p.list()
		now := markOf(list)
		if now != mark {
			r := control.Report{Mark: now}
			for _, s := range list {
				r.Services = append(r.Services, s.stats.traffic.report(s.spec.Name))
			}
			return r, nil
		}
		select {
		case <-next:
		case <-timer.C:
			return control.Report{Mark: mark}, nil
		case <-p.done:
			return control.Report{Mark: mark}, nil
		case <-ctx.Done():
			return control.Report{}, ctx.Err()
		}
	}
}

// markOf is another one after anything was counted of the services.
func markOf(list []*service) string {
	var requests, in, out, sockets int64
	newest := ""
	for _, s := range list {
		t := &s.stats.traffic
		requests += t.total()
		in, out, sockets = in+t.in.Load(), out+t.out.Load(), sockets+t.sockets.Load()
		newest = max(newest, t.began)
	}
	b := append([]byte(newest), '/')
	for _, n := range []int64{int64(len(list)), requests, in, out, sockets} {
		b = append(strconv.AppendInt(b, n, 36), '/')
	}
	return string(b)
}
