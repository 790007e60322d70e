package metrics

import (
	"time"

	"towline/proxy/sketch"
)

// field is one number of a Point. Their numbers are on disk: new ones go to the end.
type field int

const (
	samples   field = iota // readings that memory is the sum of
	instances              // processes, the most at once

	cpu       // microseconds
	throttled // microseconds
	memory    // KiB, the sum of the readings
	memoryMax // KiB, the largest reading
	peak      // KiB, the most that one process had, with cached files
	limit     // KiB, of all processes
	swap      // KiB, the sum of the readings
	oomKills
	pids      // the most at once
	diskRead  // bytes
	diskWrite // bytes

	cpuPressure    // microseconds
	memoryPressure // microseconds
	ioPressure     // microseconds

	status0 // requests by the first digit of their status; 0: no answer
	status1
	status2
	status3
	status4
	status5
	bytesIn
	bytesOut
	webSockets // the most at once

	crashes // processes that ended by themselves, and were started again

	fields
)

// isMost are the fields of which a sum has the larger one.
var isMost = [fields]bool{instances: true, memoryMax: true, peak: true, limit: true, pids: true, webSockets: true}

// Point is what was measured of one thing in some time. Two points of different times are added to
// that of both.
type Point struct {
	n           [fields]uint64
	took, first sketch.Sketch
}

// add adds another of another time.
func (p *Point) add(other *Point) {
	for f := range fields {
		if isMost[f] {
			p.n[f] = max(p.n[f], other.n[f])
		} else {
			p.n[f] += other.n[f]
		}
	}
	p.took, p.first = p.took.Add(other.took), p.first.Add(other.first)
}

// Key says what a series is of.
type Key struct {
	// Subject is the app or add-on, as no later one of the same name is called; empty: the machine.
	Subject string
	Process string // the type: web, worker, run, release, build; empty: all of the subject
}

// host is the key of the machine.
var host = Key{}

// Frame is what was measured in one time.
type Frame struct {
	Start time.Time
	// Covered is for how long of it there was somebody to measure: the daemon may have been away.
	Covered time.Duration
	Points  map[Key]*Point
}

func newFrame(start time.Time) *Frame { return &Frame{Start: start, Points: map[Key]*Point{}} }

// at is the point of a key, made if there is none.
func (f *Frame) at(k Key) *Point {
	p := f.Points[k]
	if p == nil {
		p = &Point{}
		f.Points[k] = p
	}
	return p
}

// add adds what another frame measured, at another time.
func (f *Frame) add(other *Frame) {
	f.Covered += other.Covered
	for k, p := range other.Points {
		f.at(k).add(p)
	}
}
