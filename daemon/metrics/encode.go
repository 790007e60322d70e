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

	"towline/proxy/sketch"
)

// A frame as it is kept: how it is written, milliseconds covered, how many points; then each point with its
// names, which fields are not zero, those, and both sketches. Numbers are varints, buckets are told
// by their distance from the one before. On disk it is deflated, and comes after a version.
//
// For the longer levels it is thin: what is no count has 8 bits that count, which rounds by 0.4 %, and
// every two buckets are one. For the longest it is thinnest: the times to the first byte are left out.

const version = 1

// How a frame is written.
const (
	exact    = 0
	thin     = 1
	thinnest = 2
)

// longestName bounds the names in a frame, in bytes.
const longestName = 255

func (f *Frame) encode(how byte) []byte {
	b := binary.AppendUvarint([]byte{how}, uint64(f.Covered.Milliseconds()))
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
		b = f.Points[k].append(b, how)
	}
	return b
}

func appendName(b []byte, name string) []byte {
	name = name[:min(len(name), longestName)]
	return append(append(b, byte(len(name))), name...)
}

func (p *Point) append(b []byte, how byte) []byte {
	mask := uint64(0)
	for f, n := range p.n {
		if n != 0 {
			mask |= 1 << f
		}
	}
	b = binary.AppendUvarint(b, mask)
	for f, n := range p.n {
		switch {
		case n == 0:
		case how != exact && !field(f).isCount():
			shift, most := rounded(n)
			b = append(b, shift, most)
		default:
			b = binary.AppendUvarint(b, n)
		}
	}
	for i, s := range []sketch.Sketch{p.took, p.first} {
		switch {
		case how == thinnest && i == 1:
			s = nil
		case how != exact:
			s = s.Coarse()
		}
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

// rounded are the highest 8 bits of n, and by how much they are shifted.
func rounded(n uint64) (shift, most byte) {
	s := max(0, bits.Len64(n)-8)
	if s > 0 {
		n = (n>>(s-1) + 1) >> 1
		if n > 255 {
			n, s = n>>1, s+1
		}
	}
	return byte(s), byte(n)
}

// isCount tells of what is told exactly however old it is.
func (f field) isCount() bool {
	return f == samples || f == instances || f == oomKills || f == crashes || status0 <= f && f <= status5
}

var errDamaged = errors.New("measurements are damaged")

// reader reads what encode wrote. After an error it reads zeros.
type reader struct {
	b   []byte
	how byte
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

// byte is the next one.
func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.err = errDamaged
		return 0
	}
	b := r.b[0]
	r.b = r.b[1:]
	return b
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
		f := field(bits.TrailingZeros64(mask))
		n := uint64(0)
		if r.how != exact && !f.isCount() {
			shift := r.byte()
			n = uint64(r.byte()) << shift
		} else {
			n = r.number()
		}
		if f < fields { // a newer version has more
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
	if r.how = r.byte(); r.how > thinnest {
		return f, errDamaged
	}
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
	w, err := flate.NewWriter(&out, flate.BestCompression)
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
