// Package sketch counts durations in buckets that are wider the longer they are, so that two counts
// can be added, and percentiles of the sum told: an average of percentiles is none.
//
// The buckets are of whole microseconds: each power of two is cut into 16 of one width. So a
// percentile that is told is off by 1/32 (3.2 %) of the true one at most, or by a microsecond, from
// 0 to Longest; what took longer is counted as Longest. It needs no logarithm: finding the bucket
// takes some nanoseconds.
//
// It knows nothing of Towline: the proxy counts with it, and the daemon adds up.
package sketch

import (
	"math/bits"
	"time"
)

const (
	parts     = 16 // of each power of two
	partsBits = 4
	largest   = 1<<32 - 1 // microseconds

	// Buckets is how many there are.
	Buckets = parts * (32 - partsBits + 1)

	// Longest is the end of the last bucket, 71 minutes.
	Longest = largest * time.Microsecond
)

// Bucket is that of a duration. Negative ones are 0.
func Bucket(d time.Duration) int {
	us := uint64(max(0, d)) / 1000
	us = min(us, largest)
	if us < parts {
		return int(us)
	}
	shift := bits.Len64(us) - partsBits - 1
	return shift*parts + int(us>>shift)
}

// Middle is the duration that stands for all of a bucket.
func Middle(bucket int) time.Duration {
	if bucket < parts {
		return time.Duration(bucket) * time.Microsecond
	}
	shift := bucket/parts - 1
	low := uint64(bucket-shift*parts) << shift
	width := uint64(1) << shift
	return time.Duration(low)*time.Microsecond + time.Duration(width)*time.Microsecond/2
}

// Count is how many durations are in one bucket.
type Count struct {
	Bucket int
	N      uint64
}

// Sketch has the buckets that are not empty, by number. The zero value is empty.
type Sketch []Count

// Add returns the sum of both, and changes neither.
func (s Sketch) Add(other Sketch) Sketch {
	if len(other) == 0 {
		return s
	}
	if len(s) == 0 {
		return other
	}
	sum := make(Sketch, 0, len(s)+len(other))
	for len(s) > 0 && len(other) > 0 {
		switch {
		case s[0].Bucket < other[0].Bucket:
			sum, s = append(sum, s[0]), s[1:]
		case s[0].Bucket > other[0].Bucket:
			sum, other = append(sum, other[0]), other[1:]
		default:
			sum = append(sum, Count{s[0].Bucket, s[0].N + other[0].N})
			s, other = s[1:], other[1:]
		}
	}
	return append(append(sum, s...), other...)
}

// Coarse joins every two buckets, as if each power of two were cut into 8: half of the room, and an
// error of 3/32 (9.4 %) at most.
func (s Sketch) Coarse() Sketch {
	var out Sketch
	for _, c := range s {
		if c.Bucket >= parts { // below that a bucket is a microsecond
			c.Bucket &^= 1
		}
		if n := len(out); n > 0 && out[n-1].Bucket == c.Bucket {
			out[n-1].N += c.N
		} else {
			out = append(out, c)
		}
	}
	return out
}

// Total is how many durations were counted.
func (s Sketch) Total() (n uint64) {
	for _, c := range s {
		n += c.N
	}
	return n
}

// Quantile is the duration that the part q of all, from 0 to 1, does not exceed; 0 of none.
func (s Sketch) Quantile(q float64) time.Duration {
	total := s.Total()
	if total == 0 {
		return 0
	}
	rank := uint64(q * float64(total))
	if float64(rank) < q*float64(total) {
		rank++
	}
	rank = min(max(rank, 1), total)
	for _, c := range s {
		if c.N >= rank {
			return Middle(c.Bucket)
		}
		rank -= c.N
	}
	return Middle(s[len(s)-1].Bucket)
}
