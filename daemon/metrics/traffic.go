package metrics

import (
	"context"
	"time"

	"towline/daemon"
	"towline/proxy/sketch"
)

// trafficWait is how long the proxy keeps a question that nothing happens to answer.
const trafficWait = 5 * time.Minute

// countTraffic asks the proxy what it counted, each liveStep while it counts, until ctx ends. A proxy
// that is away is asked again; what it counts meanwhile it tells later, unless it began anew.
func (m *Metrics) countTraffic(ctx context.Context) {
	mark, away, first := "", false, true
	for ctx.Err() == nil {
		report, err := m.Traffic.Traffic(ctx, mark, trafficWait)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !away {
				m.Log.Warn("no requests are counted", "err", err)
			}
			away = true
		default:
			if away {
				m.Log.Info("requests are counted again")
			}
			away = false
			// The first report is of a time from before this daemon.
			m.takeTraffic(ctx, report, first)
			mark, first = report.Mark, first && report.Mark == ""
		}
		// Shortly before the step's end, so that it has its own.
		now := time.Now()
		next := now.Truncate(liveStep).Add(liveStep - 500*time.Millisecond)
		if wait := next.Sub(now); wait < time.Second {
			next = next.Add(liveStep)
		}
		select {
		case <-time.After(min(max(next.Sub(now), time.Second), 2*liveStep)):
		case <-ctx.Done():
			return
		}
	}
}

// takeTraffic adds what was counted since the report before. The first is where counting begins.
func (m *Metrics) takeTraffic(ctx context.Context, report daemon.TrafficReport, first bool) {
	if report.Apps == nil {
		return // nothing was counted
	}
	points := map[string]*Point{} // by route
	before := m.counted
	m.counted = make(map[string]daemon.Traffic, len(report.Apps))
	for _, now := range report.Apps {
		then := before[now.App]
		if then.Began != now.Began {
			then = daemon.Traffic{}
		}
		m.counted[now.App] = now
		if p := difference(then, now); p != nil && !first {
			points[now.App] = p
		}
	}
	m.mu.Lock()
	news := false
	for app := range points {
		news = news || m.names.apps[app] == ""
	}
	m.mu.Unlock()
	if news { // an app that was just made, or an add-on's page
		m.learn(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil {
		m.current = newFrame(time.Now().Truncate(liveStep).UTC())
	}
	clear(m.open)
	for app, t := range m.counted {
		if subject := m.names.apps[app]; subject != "" && t.WebSockets > 0 {
			m.open[Key{subject, web}] = uint64(t.WebSockets)
		}
	}
	for app, p := range points {
		if subject := m.names.apps[app]; subject != "" {
			m.current.at(Key{subject, web}).add(p)
		}
	}
}

// web is the type of the processes that have requests.
const web = "web"

// difference is what was counted between two reports of one beginning; nil: nothing was.
func difference(then, now daemon.Traffic) *Point {
	p := &Point{}
	some := uint64(0)
	for i := range now.Status {
		p.n[status0+field(i)] = more(now.Status[i], then.Status[i])
		some += p.n[status0+field(i)]
	}
	p.n[bytesIn], p.n[bytesOut] = more(now.In, then.In), more(now.Out, then.Out)
	if some += p.n[bytesIn] + p.n[bytesOut]; some == 0 {
		return nil
	}
	p.took, p.first = grown(then.Took, now.Took), grown(then.First, now.First)
	return p
}

// grown is what came to the buckets. Their counts go round at 2^32, and so does what they differ by.
func grown(then, now []uint32) (s sketch.Sketch) {
	for i := 0; i+1 < len(now); i += 2 {
		bucket, n := now[i], now[i+1]
		for len(then) >= 2 && then[0] < bucket {
			then = then[2:]
		}
		if len(then) >= 2 && then[0] == bucket {
			n -= then[1]
		}
		if n > 0 && bucket < sketch.Buckets && (len(s) == 0 || s[len(s)-1].Bucket < int(bucket)) {
			s = append(s, sketch.Count{Bucket: int(bucket), N: uint64(n)})
		}
	}
	return s
}
