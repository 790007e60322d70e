package metrics

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"slices"
	"strings"
	"time"

	"towline/sketch"
)

// A frame as it is kept: the version, milliseconds covered, how many points; then each point with its
// names, which fields are not zero, those, and both sketches. Numbers are varints, buckets are told
// by their distance from the one before. On disk all but the version is deflated.

const version = 1

// longestName bounds the names in a frame, in bytes.
const longestName = 255

func (f *Frame) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(f.Covered.Milliseconds()))
	b = binary.AppendUvarint(b, uint64(len(f.Points)))
	keys := make([]Key, 0, len(f.Points))
	for k := range f.Points {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		return strings.Compare(a.Subject+"\x00"+a.Process, b.Subject+"\x00"+b.Process)
	})
	for _, k := range keys {
		b = appendName(b, k.Subject)
		b = appendName(b, k.Process)
		b = f.Points[k].append(b)
	}
	return b
}

func appendName(b []byte, name string) []byte {
	name = name[:min(len(name), longestName)]
	return append(append(b, byte(len(name))), name...)
}

func (p *Point) append(b []byte) []byte {
	mask := uint64(0)
	for f, n := range p.n {
		if n != 0 {
			mask |= 1 << f
		}
	}
	b = binary.AppendUvarint(b, mask)
	for _, n := range p.n {
		if n != 0 {
			b = binary.AppendUvarint(b, n)
		}
	}
	for _, s := range []sketch.Sketch{p.took, p.first} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		last := 0
		for _, c := range s {
			b = binary.AppendUvarint(b, uint64(c.Bucket-last))
			b = binary.AppendUvarint(b, c.N)
			last = c.Bucket
		}
	}
	return b
}

var errDamaged = errors.New("measurements are damaged")

// reader reads what encode wrote. After an error it reads zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.err, r.b = errDamaged, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) name() string {
	if len(r.b) == 0 || len(r.b) <= int(r.b[0]) {
		r.err, r.b = errDamaged, nil
		return ""
	}
	n := int(r.b[0])
	name := string(r.b[1 : 1+n])
	r.b = r.b[1+n:]
	return name
}

func (r *reader) point() *Point {
	p := &Point{}
	for mask := r.number(); mask != 0; mask &= mask - 1 {
		n := r.number()
		if f := bits.TrailingZeros64(mask); f < int(fields) { // a newer version has more
			p.n[f] = n
		}
	}
	p.took, p.first = r.sketch(), r.sketch()
	return p
}

func (r *reader) sketch() sketch.Sketch {
	n := r.number()
	if n == 0 {
		return nil
	}
	if n > sketch.Buckets {
		r.err, r.b = errDamaged, nil
		return nil
	}
	s := make(sketch.Sketch, 0, n)
	bucket := uint64(0)
	for range n {
		bucket += r.number()
		if bucket >= sketch.Buckets {
			r.err, r.b = errDamaged, nil
			return nil
		}
		s = append(s, sketch.Count{Bucket: int(bucket), N: r.number()})
	}
	return s
}

// decode reads a frame that encode wrote. Points of keys that want does not want are left out; nil
// wants all.
func decode(start time.Time, b []byte, want func(Key) bool) (*Frame, error) {
	r := &reader{b: b}
	f := newFrame(start)
	f.Covered = time.Duration(r.number()) * time.Millisecond
	for n := r.number(); n > 0 && r.err == nil; n-- {
		k := Key{r.name(), r.name()}
		if p := r.point(); want == nil || want(k) {
			f.Points[k] = p
		}
	}
	return f, r.err
}

// pack makes smaller what goes to disk.
func pack(b []byte) []byte {
	var out bytes.Buffer
	out.WriteByte(version)
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(b)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		panic(err) // memory does not fail
	}
	return out.Bytes()
}

// largest bounds what unpack makes, in bytes.
const largest = 16 << 20

func unpack(b []byte) ([]byte, error) {
	if len(b) == 0 || b[0] != version {
		return nil, errDamaged
	}
	return io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b[1:])), largest))
}
