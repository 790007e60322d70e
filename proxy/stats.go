package proxy

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// bounds are the upper ends of the latency histogram, in seconds.
var bounds = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// stats are one service's counters since the start.
type stats struct {
	status  [6]atomic.Int64 // by first digit; 0: no answer
	bucket  [len(bounds) + 1]atomic.Int64
	seconds atomic.Int64 // sum, in nanoseconds
	bytes   atomic.Int64

	traffic traffic
}

func (s *stats) count(status int, took time.Duration, bytes int64) {
	class := status / 100
	if class < 0 || class > 5 {
		class = 0
	}
	s.status[class].Add(1)
	i, t := 0, took.Seconds()
	for i < len(bounds) && t > bounds[i] {
		i++
	}
	s.bucket[i].Add(1)
	s.seconds.Add(int64(took))
	s.bytes.Add(bytes)
}

// writeMetrics writes every counter in Prometheus' text format.
func (p *Proxy) writeMetrics(w io.Writer) {
	list := p.list()
	head := func(name, kind, help string) {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	}
	head("towline_requests_total", "counter", "Requests answered, by service and class of status.")
	for _, s := range list {
		for class := range s.stats.status {
			if n := s.stats.status[class].Load(); n > 0 {
				fmt.Fprintf(w, "towline_requests_total{service=%q,status=\"%dxx\"} %d\n", s.spec.Name, class, n)
			}
		}
	}
	head("towline_response_bytes_total", "counter", "Bytes of response bodies.")
	for _, s := range list {
		fmt.Fprintf(w, "towline_response_bytes_total{service=%q} %d\n", s.spec.Name, s.stats.bytes.Load())
	}
	head("towline_request_duration_seconds", "histogram", "From the request's head to the end of the answer.")
	for _, s := range list {
		var total int64
		for i := range s.stats.bucket {
			total += s.stats.bucket[i].Load()
			le := "+Inf"
			if i < len(bounds) {
				le = fmt.Sprint(bounds[i])
			}
			fmt.Fprintf(w, "towline_request_duration_seconds_bucket{service=%q,le=%q} %d\n", s.spec.Name, le, total)
		}
		fmt.Fprintf(w, "towline_request_duration_seconds_sum{service=%q} %g\n", s.spec.Name, time.Duration(s.stats.seconds.Load()).Seconds())
		fmt.Fprintf(w, "towline_request_duration_seconds_count{service=%q} %d\n", s.spec.Name, total)
	}
	head("towline_in_flight", "gauge", "Requests and WebSockets in flight, by target.")
	for _, s := range list {
		for _, t := range s.targets {
			fmt.Fprintf(w, "towline_in_flight{service=%q,target=%q} %d\n", s.spec.Name, t.spec.ID, t.running.count())
		}
	}
	head("towline_target_up", "gauge", "1 unless the target is ejected.")
	for _, s := range list {
		for _, t := range s.targets {
			up := 1
			if t.ejected.Load() {
				up = 0
			}
			fmt.Fprintf(w, "towline_target_up{service=%q,target=%q} %d\n", s.spec.Name, t.spec.ID, up)
		}
	}
	head("towline_connections", "gauge", "Client connections open.")
	fmt.Fprintf(w, "towline_connections %d\n", p.conns.count())
	head("towline_turned_away_connections_total", "counter", "Client connections closed at once, for there were too many.")
	fmt.Fprintf(w, "towline_turned_away_connections_total %d\n", p.conns.turnedAway())
	head("towline_refused_requests_total", "counter", "Requests refused as malformed.")
	fmt.Fprintf(w, "towline_refused_requests_total %d\n", p.refused.Load())
	head("towline_proxy_panics_total", "counter", "Connections closed because of a fault of the proxy.")
	fmt.Fprintf(w, "towline_proxy_panics_total %d\n", p.panics.Load())
	head("towline_unrouted_requests_total", "counter", "Requests for hosts that no service has.")
	fmt.Fprintf(w, "towline_unrouted_requests_total %d\n", p.unrouted.Load())
}
