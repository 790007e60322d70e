package message

import (
	"errors"
	"io"
	"sync"
)

// headSize is the size of the pooled buffers, in bytes. Longer heads are rare
// and get a buffer of their own.
const headSize = 8 << 10

var headBuffers = sync.Pool{New: func() any { return new([headSize]byte) }}

var ErrHeadTooLarge = errors.New("header too large")

// Reader buffers a connection. Bytes before base belong to the head that is
// being served and stay put while its body is read behind them.
type Reader struct {
	Src        io.Reader
	Buf        []byte
	pooled     *[headSize]byte
	base, R, W int
}

// Acquire gets a buffer unless there is one.
func (b *Reader) Acquire() {
	if b.Buf == nil {
		b.pooled = headBuffers.Get().(*[headSize]byte)
		b.Buf = b.pooled[:]
	}
}

// Release gives the buffer back if nothing is in it. No head may be in use.
func (b *Reader) Release() {
	b.base = 0
	if b.Buf == nil || b.R != b.W {
		return
	}
	b.R, b.W = 0, 0
	if b.pooled != nil {
		headBuffers.Put(b.pooled)
	}
	b.Buf, b.pooled = nil, nil
}

// Drop gives the buffer back with what is in it.
func (b *Reader) Drop() {
	b.R, b.W = 0, 0
	b.Release()
}

func (b *Reader) Buffered() []byte { return b.Buf[b.R:b.W] }

// Fill reads once more, making room first.
func (b *Reader) Fill() error {
	if b.R == b.W {
		b.R, b.W = b.base, b.base
	}
	if b.W == len(b.Buf) {
		b.makeRoom()
	}
	n, err := b.Src.Read(b.Buf[b.W:])
	b.W += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

func (b *Reader) makeRoom() {
	if b.R > b.base && len(b.Buf)-b.base >= headSize/2 {
		n := copy(b.Buf[b.base:], b.Buf[b.R:b.W])
		b.R, b.W = b.base, b.base+n
		return
	}
	// The old buffer is left to the collector: fields may point into it.
	grown := make([]byte, max(2*(b.W-b.R), 2*headSize))
	b.W = copy(grown, b.Buf[b.R:b.W])
	b.R, b.base, b.Buf, b.pooled = 0, 0, grown, nil
}

// Head returns the next message head with its closing empty line, which stays
// valid until keep(0). Empty lines before it are skipped, as RFC 9112 asks, but
// only two, for each costs a client nothing to send.
func (b *Reader) Head(limit int) ([]byte, error) {
	b.Acquire()
	for range 2 {
		for b.W-b.R < 2 {
			if b.W-b.R == 1 && b.Buf[b.R] != '\r' {
				break
			}
			if err := b.Fill(); err != nil {
				return nil, err
			}
		}
		if b.Buf[b.R] != '\r' || b.Buf[b.R+1] != '\n' {
			break
		}
		b.R += 2
	}
	seen := 0
	for {
		if b.W > b.R {
			data := b.Buf[b.R:b.W]
			if end := HeadEnd(data, seen); end >= 0 {
				if end > limit {
					return nil, ErrHeadTooLarge
				}
				b.R += end
				b.base = b.R
				return data[:end:end], nil
			}
			seen = max(0, len(data)-3)
			if len(data) > limit {
				return nil, ErrHeadTooLarge
			}
		}
		if err := b.Fill(); err != nil {
			if b.R != b.W && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// HeadEnd is the length of the head in data: up to and with the first empty
// line, or -1. Lines may end in LF alone here; whether that is an error is for
// the parser, which must see the same bytes as any other reader would.
func HeadEnd(data []byte, from int) int {
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

// line returns the next line without its CRLF; a lone LF or CR is an error, and so is a line
// of more than limit bytes before its LF, in however many pieces it arrives. It is valid until
// the next read.
func (b *Reader) line(limit int) ([]byte, error) {
	seen := 0
	for {
		data := b.Buf[b.R:b.W]
		for i := seen; i < len(data); i++ {
			if data[i] != '\n' {
				continue
			}
			b.R += i + 1
			if i > limit || i == 0 || data[i-1] != '\r' {
				return nil, ErrBadFraming
			}
			return data[:i-1], nil
		}
		if seen = len(data); seen > limit {
			return nil, ErrBadFraming
		}
		if err := b.Fill(); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}
