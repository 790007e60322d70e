package proxy

import (
	"errors"
	"io"
	"sync"
)

// headSize is the size of the pooled buffers, in bytes. Longer heads are rare
// and get a buffer of their own.
const headSize = 8 << 10

var headBuffers = sync.Pool{New: func() any { return new([headSize]byte) }}

var errHeadTooLarge = errors.New("header too large")

// reader buffers a connection. Bytes before base belong to the head that is
// being served and stay put while its body is read behind them.
type reader struct {
	src        io.Reader
	buf        []byte
	pooled     *[headSize]byte
	base, r, w int
}

// acquire gets a buffer unless there is one.
func (b *reader) acquire() {
	if b.buf == nil {
		b.pooled = headBuffers.Get().(*[headSize]byte)
		b.buf = b.pooled[:]
	}
}

// release gives the buffer back if nothing is in it. No head may be in use.
func (b *reader) release() {
	b.base = 0
	if b.buf == nil || b.r != b.w {
		return
	}
	b.r, b.w = 0, 0
	if b.pooled != nil {
		headBuffers.Put(b.pooled)
	}
	b.buf, b.pooled = nil, nil
}

// drop gives the buffer back with what is in it.
func (b *reader) drop() {
	b.r, b.w = 0, 0
	b.release()
}

func (b *reader) buffered() []byte { return b.buf[b.r:b.w] }

// fill reads once more, making room first.
func (b *reader) fill() error {
	if b.r == b.w {
		b.r, b.w = b.base, b.base
	}
	if b.w == len(b.buf) {
		b.makeRoom()
	}
	n, err := b.src.Read(b.buf[b.w:])
	b.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

func (b *reader) makeRoom() {
	if b.r > b.base && len(b.buf)-b.base >= headSize/2 {
		n := copy(b.buf[b.base:], b.buf[b.r:b.w])
		b.r, b.w = b.base, b.base+n
		return
	}
	// The old buffer is left to the collector: fields may point into it.
	grown := make([]byte, max(2*(b.w-b.r), 2*headSize))
	b.w = copy(grown, b.buf[b.r:b.w])
	b.r, b.base, b.buf, b.pooled = 0, 0, grown, nil
}

// head returns the next message head with its closing empty line, which stays
// valid until keep(0). Empty lines before it are skipped, as RFC 9112 asks, but
// only two, for each costs a client nothing to send.
func (b *reader) head(limit int) ([]byte, error) {
	b.acquire()
	for range 2 {
		for b.w-b.r < 2 {
			if b.w-b.r == 1 && b.buf[b.r] != '\r' {
				break
			}
			if err := b.fill(); err != nil {
				return nil, err
			}
		}
		if b.buf[b.r] != '\r' || b.buf[b.r+1] != '\n' {
			break
		}
		b.r += 2
	}
	seen := 0
	for {
		if b.w > b.r {
			data := b.buf[b.r:b.w]
			if end := headEnd(data, seen); end >= 0 {
				if end > limit {
					return nil, errHeadTooLarge
				}
				b.r += end
				b.base = b.r
				return data[:end:end], nil
			}
			seen = max(0, len(data)-3)
			if len(data) > limit {
				return nil, errHeadTooLarge
			}
		}
		if err := b.fill(); err != nil {
			if b.r != b.w && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// headEnd is the length of the head in data: up to and with the first empty
// line, or -1. Lines may end in LF alone here; whether that is an error is for
// the parser, which must see the same bytes as any other reader would.
func headEnd(data []byte, from int) int {
	for i := from; i < len(data); i++ {
		if data[i] != '\n' {
			continue
		}
		if i+1 < len(data) && data[i+1] == '\n' {
			return i + 2
		}
		if i+2 < len(data) && data[i+1] == '\r' && data[i+2] == '\n' {
			return i + 3
		}
	}
	return -1
}

// line returns the next line without its CRLF; a lone LF or CR is an error. It is valid
// until the next read.
func (b *reader) line(limit int) ([]byte, error) {
	seen := 0
	for {
		data := b.buf[b.r:b.w]
		for i := seen; i < len(data); i++ {
			if data[i] != '\n' {
				continue
			}
			b.r += i + 1
			if i == 0 || data[i-1] != '\r' {
				return nil, errBadFraming
			}
			return data[:i-1], nil
		}
		if seen = len(data); seen > limit {
			return nil, errBadFraming
		}
		if err := b.fill(); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}
