package vault

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// blockSize is the unit in which copies are compared and written; segmentSize is what
// one processor takes at a time.
const (
	blockSize   = 64 << 10
	segmentSize = 8 << 20
)

// walk is one pass over the sources.
type walk struct {
	m             *Mirror
	ctx           context.Context
	group         *errgroup.Group
	frozen        bool
	seen          map[string]bool
	dirs          []dirTime
	read, written atomic.Int64 // bytes
	holes         int64        // bytes
}

type dirTime struct {
	path string
	at   time.Time
}

// seed is of this process alone: nobody can make two blocks that look alike.
var seed = maphash.MakeSeed()

var buffers = sync.Pool{New: func() any { b := make([]byte, 1<<20); return &b }}

// regular brings the copy of one file up to date, in segments that run side by side.
func (w *walk) regular(src *os.Root, name, dst string) error {
	// It may be something else by now: no waiting for a pipe.
	in, err := src.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	if !w.frozen {
		// Clean pages make the next write through a mapping leave a stamp too, and
		// what is on disk already does not hold up the service while it is frozen.
		// A file system that can't is no worse off than before.
		_ = unix.Fdatasync(int(in.Fd()))
	}
	began := time.Now()
	now, err := stampOf(in)
	if err != nil || now.mode&unix.S_IFMT != unix.S_IFREG {
		return errors.Join(err, in.Close())
	}
	if err := w.addHoles(in, now); err != nil {
		return errors.Join(err, in.Close())
	}
	f := w.m.files[dst]
	if f != nil && f.settled && f.seen == now {
		return in.Close()
	}
	out, created, err := w.m.openCopy(dst, f == nil)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	if created || f == nil {
		f = &file{}
		w.m.files[dst] = f
	}
	change := latest(now.mtime, now.ctime)
	f.seen, f.settled = now, began.Sub(change) > grain
	w.read.Add(now.size)
	if w.m.clone {
		f.blocks = nil
		if err := out.Truncate(0); err != nil {
			return errors.Join(err, in.Close(), out.Close())
		}
		if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) == nil {
			return errors.Join(dress(out, now), in.Close(), out.Close())
		}
		w.m.clone = false
	}
	if err := out.Truncate(now.size); err != nil {
		return errors.Join(err, in.Close(), out.Close())
	}
	f.resize(now.size)
	w.segments(f, in, out, now)
	return nil
}

// segments copies what differs, then closes both files.
func (w *walk) segments(f *file, in, out *os.File, now stamp) {
	n := max(1, int((now.size+segmentSize-1)/segmentSize))
	var left atomic.Int32
	left.Store(int32(n))
	var dirty atomic.Bool
	for i := range n {
		from := int64(i) * segmentSize
		w.group.Go(func() error {
			wrote, err := w.segment(f, in, out, from, min(from+segmentSize, now.size))
			if wrote {
				dirty.Store(true)
			}
			if left.Add(-1) > 0 {
				return err
			}
			if err == nil && dirty.Load() && !w.frozen {
				// Else the kernel might make the writes of the frozen pass wait for these.
				err = unix.Fdatasync(int(out.Fd()))
			}
			return errors.Join(err, dress(out, now), in.Close(), out.Close())
		})
	}
}

// segment compares and copies the bytes from..to. Holes are not read.
func (w *walk) segment(f *file, in, out *os.File, from, to int64) (wrote bool, err error) {
	bp := buffers.Get().(*[]byte)
	defer buffers.Put(bp)
	hole := from // up to here the source is known to be a hole
	for at := from; at < to; {
		if err := w.ctx.Err(); err != nil {
			return wrote, context.Cause(w.ctx)
		}
		if at >= hole {
			hole = dataAfter(in, at, to)
		}
		n := min(int64(len(*bp)), to-at)
		chunk := (*bp)[:n]
		if hole-at >= blockSize {
			if next := f.skipZeros(at, hole); next > at {
				at = next
				continue
			}
			n = min(n, blockSize)
			chunk = chunk[:n]
			clear(chunk)
		} else {
			got, err := in.ReadAt(chunk, at)
			if err != nil && !errors.Is(err, io.EOF) {
				return wrote, err
			}
			clear(chunk[got:]) // cut short meanwhile, which its stamp will tell
		}
		changed, err := w.blocks(f, out, chunk, at)
		wrote = wrote || changed
		if err != nil {
			return wrote, err
		}
		at += n
	}
	return wrote, nil
}

// blocks writes those that differ from the copy's.
func (w *walk) blocks(f *file, out *os.File, chunk []byte, at int64) (wrote bool, err error) {
	for len(chunk) > 0 {
		b := chunk[:min(blockSize, len(chunk))]
		if sum := blockSum(b); f.blocks[at/blockSize] != sum {
			if _, err := out.WriteAt(b, at); err != nil {
				return wrote, err
			}
			f.blocks[at/blockSize] = sum
			w.written.Add(int64(len(b)))
			wrote = true
		}
		chunk, at = chunk[len(b):], at+int64(len(b))
	}
	return wrote, nil
}

var zeros [blockSize]byte

// blockSum is 0 for zeros alone, which need not be written to a new file.
func blockSum(b []byte) uint64 {
	if b[0] == 0 && bytes.Equal(b, zeros[:len(b)]) {
		return 0
	}
	return max(1, maphash.Bytes(seed, b))
}

// skipZeros is how far the copy has nothing but zeros, in whole blocks from at on and
// at most to the hole's end.
func (f *file) skipZeros(at, hole int64) int64 {
	for hole-at >= blockSize && f.blocks[at/blockSize] == 0 {
		at += blockSize
	}
	return at
}

// resize forgets the blocks behind the new end.
func (f *file) resize(size int64) {
	n := int((size + blockSize - 1) / blockSize)
	if n <= len(f.blocks) {
		f.blocks = f.blocks[:n]
		return
	}
	f.blocks = append(f.blocks, make([]uint64, n-len(f.blocks))...)
}

// dataAfter is where the first data at or after a place begins, at most to.
func dataAfter(f *os.File, at, to int64) int64 {
	next, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return to
	}
	if err != nil {
		return at
	}
	return min(next, to)
}

// openCopy opens the copy of a regular file; created tells that it is empty.
func (m *Mirror) openCopy(dst string, fresh bool) (f *os.File, created bool, err error) {
	if fresh {
		// Whatever is there is another kind of thing, or none of this mirror's.
		if err := m.remove(dst); err != nil {
			return nil, false, err
		}
	} else if f, err := os.OpenFile(dst, os.O_RDWR, 0); !errors.Is(err, fs.ErrNotExist) {
		return f, false, err
	}
	f, err = os.OpenFile(dst, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return f, true, err
}

// dress gives the copy the owner, mode and time of the original.
func dress(out *os.File, s stamp) error {
	at := time.Unix(0, s.mtime.Nano())
	return errors.Join(out.Chown(int(s.uid), int(s.gid)), unix.Fchmod(int(out.Fd()), s.mode&0o7777), os.Chtimes(out.Name(), at, at))
}

func stampOf(f *os.File) (stamp, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return stamp{st.Ino, st.Size, st.Mtim, st.Ctim, st.Uid, st.Gid, st.Mode}, err
}

func latest(a, b unix.Timespec) time.Time { return time.Unix(0, max(a.Nano(), b.Nano())) }
