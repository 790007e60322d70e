package proxy

import "time"

// deadline sets a connection's timeouts only when the one in place has become
// too short or much too long: setting one costs more than looking at it. So a
// timeout strikes between d and 1.25 d.
type deadline struct{ at time.Time }

func (l *deadline) arm(set func(time.Time) error, now time.Time, d time.Duration) {
	left := l.at.Sub(now)
	if left >= d && left <= d+d/4 {
		return
	}
	l.at = now.Add(d + d/4)
	// An error means that the connection is closed; the next use says so.
	_ = set(l.at)
}
