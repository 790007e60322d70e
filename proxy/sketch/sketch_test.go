package sketch

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

func of(durations ...time.Duration) (s Sketch) {
	for _, d := range durations {
		s = s.Add(Sketch{{Bucket(d), 1}})
	}
	return s
}

// Every bucket begins where the one before ends, and its middle is as near as the documentation says.
func TestBuckets(t *testing.T) {
	last := -1
	for us := uint64(0); us <= largest; us += 1 + us/500 {
		d := time.Duration(us) * time.Microsecond
		b := Bucket(d)
		if b != last && b != last+1 && b <= last || b >= Buckets {
			t.Fatalf("%s is in bucket %d after %d", d, b, last)
		}
		last = b
		if off := math.Abs(float64(Middle(b) - d)); off > float64(d)/32+float64(time.Microsecond) {
			t.Fatalf("%s is told as %s", d, Middle(b))
		}
	}
	for b := range Buckets {
		if Bucket(Middle(b)) != b {
			t.Fatalf("the middle of bucket %d is in %d", b, Bucket(Middle(b)))
		}
	}
	if Bucket(-time.Second) != 0 || Bucket(math.MaxInt64) != Buckets-1 || Bucket(Longest) != Buckets-1 {
		t.Error("what is out of range is counted elsewhere")
	}
}

func TestQuantiles(t *testing.T) {
	for _, tc := range []struct {
		s    Sketch
		q    float64
		want time.Duration
	}{
		{nil, 0.5, 0},
		{of(5 * time.Microsecond), 0.99, 5 * time.Microsecond},
		{of(1*time.Microsecond, 2*time.Microsecond, 3*time.Microsecond), 0.5, 2 * time.Microsecond},
		{of(1*time.Microsecond, 2*time.Microsecond), 0.5, 1 * time.Microsecond},
		{of(1*time.Microsecond, 2*time.Microsecond), 1, 2 * time.Microsecond},
		{of(1*time.Microsecond, 2*time.Microsecond), 0, 1 * time.Microsecond},
	} {
		if got := tc.s.Quantile(tc.q); got != tc.want {
			t.Errorf("%v at %g: %s, want %s", tc.s, tc.q, got, tc.want)
		}
	}
}

// The percentiles of a sum are those of all that was counted, whatever part was counted where.
func TestSumHasThePercentilesOfAll(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	parts := make([]Sketch, 7)
	for i := range 5000 {
		d := time.Duration(math.Exp(r.NormFloat64()*1.5+3) * float64(time.Millisecond))
		all = append(all, d)
		parts[i%7] = parts[i%7].Add(of(d))
	}
	before := slices.Clone(parts[0])
	var sum, backwards Sketch
	for i := range parts {
		sum, backwards = sum.Add(parts[i]), backwards.Add(parts[len(parts)-1-i])
	}
	if !reflect.DeepEqual(sum, backwards) || !reflect.DeepEqual(parts[0], before) || sum.Total() != 5000 {
		t.Error("the order matters, or a part was changed")
	}
	slices.Sort(all)
	for _, q := range []float64{0.01, 0.5, 0.95, 0.99, 1} {
		want := all[int(math.Ceil(q*float64(len(all))))-1]
		for name, s := range map[string]Sketch{"fine": sum, "coarse": sum.Coarse()} {
			limit := map[string]float64{"fine": 1. / 32, "coarse": 3. / 32}[name]
			if got := s.Quantile(q); math.Abs(float64(got-want)) > limit*float64(want)+1000 {
				t.Errorf("%s p%g: %s, want %s", name, 100*q, got, want)
			}
		}
	}
	if c := sum.Coarse(); c.Total() != 5000 || len(c) >= len(sum) {
		t.Errorf("%d buckets of %d, %d counted", len(c), len(sum), c.Total())
	}
}

func BenchmarkBucket(b *testing.B) {
	d, n := time.Duration(1), 0
	for b.Loop() {
		n += Bucket(d)
		d = d*3 + 1
	}
	_ = n
}
