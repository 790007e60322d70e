package proxy

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wire is a TCP connection, to a client or to a target. A write may take as long as
// bytes leave: what a peer reads slowly is written slowly, and who does not read is
// given up. One goroutine writes at a time.
type wire struct {
	net.Conn               // TCP
	idle     time.Duration // how long a peer may read nothing; 0: as SetWriteDeadline says
	write    deadline
	active   *atomic.Int64 // of a tunnel: when bytes last moved, Unix time in nanoseconds
}

// slowest is the pace, in bytes a second, that is asked of uploads and of those who
// read: else a few clients could hold every connection to a target.
const slowest = 240

func (w *wire) Write(b []byte) (int, error) {
	if w.idle == 0 {
		return w.Conn.Write(b)
	}
	return w.writeAt(time.Now(), b)
}

// writeAt is Write for who knows the time.
func (w *wire) writeAt(now time.Time, b []byte) (int, error) {
	w.write.arm(w.Conn.SetWriteDeadline, now, w.idle/2)
	n, err := w.Conn.Write(b)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return w.insist(b, n)
	}
	return n, err
}

// insist goes on with a write that has waited for half of idle with n bytes taken. The
// kernel wakes a writer only once a third of its buffer is free, which at the pace of a
// slow reader takes minutes: so it is asked how much it still has to send.
func (w *wire) insist(b []byte, n int) (int, error) {
	wait := w.idle / 2
	for queued := w.queued(); ; {
		w.write = deadline{}
		_ = w.Conn.SetWriteDeadline(time.Now().Add(wait))
		m, err := w.Conn.Write(b[n:])
		n += m
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		left := w.queued()
		if moved := queued - left + m; time.Duration(moved)*time.Second < slowest*wait {
			w.forsake()
			return n, err
		}
		queued = left
		if w.active != nil {
			w.active.Store(time.Now().UnixNano())
		}
	}
}

// forsake has the close that follows drop what the peer does not take: the kernel would
// go on to offer it for as long as the peer is there.
func (w *wire) forsake() {
	if t, ok := w.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
}

// queued is how many bytes the peer has not acknowledged.
func (w *wire) queued() int {
	n := 0
	if sys, ok := w.Conn.(syscall.Conn); ok {
		if raw, err := sys.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
		}
	}
	return n
}
