package metrics

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// number is one that charts show, and how it is had of a point. ok is false where there is none.
type number struct {
	name, unit string
	of         func(p *Point, covered time.Duration) (v float64, ok bool)
	limit      func(p *Point) float64 // nil: none
	rare       bool                   // it is read once a minute
}

func rate(of ...field) func(*Point, time.Duration) (float64, bool) {
	return func(p *Point, covered time.Duration) (float64, bool) {
		sum := 0.
		for _, f := range of {
			sum += float64(p.n[f])
		}
		return sum / covered.Seconds(), covered > 0
	}
}

func took(q float64) func(*Point, time.Duration) (float64, bool) {
	return func(p *Point, _ time.Duration) (float64, bool) {
		return milliseconds(p.took.Quantile(q)), len(p.took) > 0
	}
}

func first(q float64) func(*Point, time.Duration) (float64, bool) {
	return func(p *Point, _ time.Duration) (float64, bool) {
		return milliseconds(p.first.Quantile(q)), len(p.first) > 0
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func count(f field) func(*Point, time.Duration) (float64, bool) {
	return func(p *Point, _ time.Duration) (float64, bool) { return float64(p.n[f]), true }
}

// share is how much of the time was spent, in per cent; of processors, of one.
func share(f field) func(*Point, time.Duration) (float64, bool) {
	return func(p *Point, covered time.Duration) (float64, bool) {
		return 100 * float64(p.n[f]) / 1e6 / covered.Seconds(), covered > 0 && p.n[samples] > 0
	}
}

func mean(f field) func(*Point, time.Duration) (float64, bool) {
	return func(p *Point, _ time.Duration) (float64, bool) {
		return float64(p.n[f]) * 1024 / float64(p.n[samples]), p.n[samples] > 0
	}
}

func bytesOf(f field) func(*Point, time.Duration) (float64, bool) {
	return func(p *Point, _ time.Duration) (float64, bool) { return float64(p.n[f]) * 1024, p.n[samples] > 0 }
}

func limitOf(p *Point) float64 { return float64(p.n[limit]) * 1024 }

// ofRequests are the numbers of what the proxy counts, ofProcesses those of the kernel's files.
var ofRequests = []number{
	{"requests", "1/s", rate(status0, status1, status2, status3, status4, status5), nil, false},
	{"requests_2xx", "1/s", rate(status2), nil, false},
	{"requests_3xx", "1/s", rate(status3), nil, false},
	{"requests_4xx", "1/s", rate(status4), nil, false},
	{"errors", "1/s", rate(status5, status0), nil, false},
	{"response_p50", "ms", took(0.50), nil, false},
	{"response_p95", "ms", took(0.95), nil, false},
	{"response_p99", "ms", took(0.99), nil, false},
	{"response_max", "ms", took(1), nil, false},
	{"first_byte_p50", "ms", first(0.50), nil, false},
	{"first_byte_p95", "ms", first(0.95), nil, false},
	{"bytes_in", "B/s", rate(bytesIn), nil, false},
	{"bytes_out", "B/s", rate(bytesOut), nil, false},
	{"websockets", "", count(webSockets), nil, false},
}

var ofProcesses = []number{
	{"processes", "", count(instances), nil, false},
	{"memory", "B", mean(memory), limitOf, false},
	{"memory_max", "B", bytesOf(memoryMax), limitOf, false},
	{"memory_peak", "B", bytesOf(peak), nil, true},
	{"swap", "B", mean(swap), nil, false},
	{"cpu", "%", share(cpu), nil, false},
	{"cpu_throttled", "%", share(throttled), nil, false},
	{"crashes", "", count(crashes), nil, false},
	{"oom_kills", "", count(oomKills), nil, false},
	{"pids", "", count(pids), nil, true},
	{"disk_read", "B/s", rate(diskRead), nil, true},
	{"disk_written", "B/s", rate(diskWrite), nil, true},
	{"cpu_pressure", "%", share(cpuPressure), nil, true},
	{"memory_pressure", "%", share(memoryPressure), nil, true},
	{"io_pressure", "%", share(ioPressure), nil, true},
}

// requests tells whether the proxy counted anything of the point.
func (p *Point) requests() bool {
	for f := status0; f <= webSockets; f++ {
		if p.n[f] != 0 {
			return true
		}
	}
	return false
}

// seriesOf are all numbers of the frames, of the app's types first, web before others.
func seriesOf(frames []*Frame, subjects map[string]subject, step time.Duration) []Series {
	whole := newFrame(time.Time{})
	for _, f := range frames {
		whole.add(f)
	}
	var keys []Key
	for k := range whole.Points {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		x, y := subjects[a.Subject], subjects[b.Subject]
		return cmp.Or(rank(x.addon)-rank(y.addon), rank(a.Process != web)-rank(b.Process != web), cmp.Compare(x.name, y.name), cmp.Compare(a.Process, b.Process))
	})
	list := []Series{}
	for _, k := range keys {
		var numbers []number
		if whole.Points[k].requests() {
			numbers = append(numbers, ofRequests...)
		}
		if whole.Points[k].n[samples] > 0 {
			numbers = append(numbers, ofProcesses...)
		}
		for _, n := range numbers {
			if n.rare && step < time.Minute {
				continue
			}
			s := Series{Name: n.name, Of: k.Process, Unit: n.unit, Addon: subjects[k.Subject].addon, Points: []Value{}}
			if s.Addon {
				s.Of = subjects[k.Subject].name
			}
			s.Whole, _ = n.of(whole.Points[k], whole.Covered)
			s.Whole = round(s.Whole)
			if n.limit != nil {
				s.Limit = n.limit(whole.Points[k])
			}
			for _, f := range frames {
				p := f.Points[k]
				if p == nil {
					p = &Point{}
				}
				v, ok := n.of(p, f.Covered)
				if s.Now = 0; !ok {
					continue
				}
				s.Now = round(v)
				s.Most = max(s.Most, s.Now)
				s.Points = append(s.Points, Value{float64(f.Start.Unix()), s.Now})
			}
			list = append(list, s)
		}
	}
	return list
}

func rank(late bool) int {
	if late {
		return 1
	}
	return 0
}

// round keeps what a chart can show.
func round(v float64) float64 { return math.Round(v*1000) / 1000 }
