package socket

import (
	"sync"

	"towline/daemon/socket/wire"
)

// window is how much input may be on its way or waiting to be read, in bytes.
const window = 256 << 10

// inbox is a call's input. The client may send what was granted and no more, so
// the receiving side never waits; the first read grants the first bytes.
type inbox struct {
	conn *wire.Conn

	mu       sync.Mutex
	changed  sync.Cond
	buf      []byte
	off      int // of the first unread byte in buf
	expected int // granted, not received
	err      error
}

func newInbox(conn *wire.Conn) *inbox {
	b := &inbox{conn: conn}
	b.changed.L = &b.mu
	return b
}

// put adds what the client sent. It is false for more than was granted.
func (b *inbox) put(p []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) > b.expected {
		return false
	}
	b.expected -= len(p)
	if b.err == nil {
		b.buf = append(b.buf, p...)
		b.changed.Broadcast()
	}
	return true
}

// end makes reads return err once what came before is read. The first call counts.
func (b *inbox) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
		b.changed.Broadcast()
	}
}

func (b *inbox) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if n := b.want(); n > 0 {
		// A client that is gone is told by end.
		_ = b.conn.SendNumber(wire.TypeWindow, uint32(n))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.off == len(b.buf) && b.err == nil {
		b.changed.Wait()
	}
	if b.off == len(b.buf) {
		return 0, b.err
	}
	n := copy(p, b.buf[b.off:])
	b.off += n
	if b.off == len(b.buf) {
		b.buf, b.off = b.buf[:0], 0
	}
	return n, nil
}

// want is how much to grant now: nothing until half the window is free, so that
// grants are few.
func (b *inbox) want() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := window - b.expected - (len(b.buf) - b.off)
	if b.err != nil || n < window/2 {
		return 0
	}
	// Move what is unread to the front, so that the buffer stays within the window.
	b.buf = b.buf[:copy(b.buf, b.buf[b.off:])]
	b.off = 0
	b.expected += n
	return n
}
