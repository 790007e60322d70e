package proxy

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long an app is waited for before an eye is kept on the client too: one
// that is gone shall not keep the app busy. Most requests are answered sooner and cost
// nothing.
const patience = 150 * time.Millisecond

// watcher is a client that must be looked after to see that it is gone.
type watcher interface {
	// watch closes what the exchange uses once the client is gone. It is called by the
	// goroutine that answers, while nobody reads the body, any number of times.
	watch()
	// unwatch ends that; the connection can be read again.
	unwatch()
}

// firstWait is how long to wait for the target before overdue is asked, if limit is the
// longest wait allowed.
func (x *exchange) firstWait(limit time.Duration) time.Duration {
	if _, ok := x.client.(watcher); ok && !x.watched {
		return min(patience, limit)
	}
	return limit
}

// overdue is asked when a read from the target failed that has waited since then:
// true means to read on.
func (x *exchange) overdue(c *upstream, up *upload, err error, since time.Time, limit time.Duration) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || x.cut.gone() {
		return false
	}
	left := limit - time.Since(since)
	if left <= 0 {
		return false
	}
	// While the body comes, whoever reads it sees the client's end.
	if up == nil || up.read.Load() {
		x.watchClient()
	}
	c.read = deadline{}
	_ = c.SetReadDeadline(time.Now().Add(left))
	return true
}

// watchClient begins to keep an eye on the client.
func (x *exchange) watchClient() {
	if w, ok := x.client.(watcher); ok {
		w.watch()
		x.watched = true
	}
}

// unwatch ends what watchClient began.
func (x *exchange) unwatch() {
	if x.watched {
		x.watched = false
		x.client.(watcher).unwatch()
	}
}

// watch waits in a goroutine of its own for the client's end, without reading what it
// may have sent ahead.
func (h *http1) watch() {
	sys, ok := h.raw.Conn.(syscall.Conn)
	if !ok || h.watching != nil {
		return
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return
	}
	done := make(chan struct{})
	h.watching = done
	_ = h.raw.SetReadDeadline(time.Time{})
	go func() {
		defer close(done)
		defer h.p.guard("connection", func() { h.raw.Close() })
		if h.awaitEnd(raw) {
			h.x.cut.close()
		}
	}()
}

func (h *http1) unwatch() {
	if h.watching == nil {
		return
	}
	_ = h.raw.SetReadDeadline(time.Unix(1, 0))
	<-h.watching
	h.watching, h.read = nil, deadline{}
}

// awaitEnd is true once the client is gone, false when the read deadline strikes. The
// end of what the client sends does not tell: it may wait for its answer. So it is sent
// an interim answer, of which every client must take any number (RFC 9110 15.2); the
// kernel of one that has closed refuses it.
func (h *http1) awaitEnd(raw syscall.RawConn) (gone bool) {
	asked := h.req.Minor == 0 // HTTP/1.0 knows no interim answers
	_ = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if _, err := unix.Poll(p, 0); err != nil {
			return false
		}
		switch seen := p[0].Revents; {
		case seen&(unix.POLLERR|unix.POLLHUP) != 0:
			gone = true
		case seen&unix.POLLRDHUP != 0 && !asked:
			asked = true
			err := h.proceed()
			gone = err != nil && err != errFinal
		}
		return gone
	})
	return gone
}

// proceed sends a 100, unless the final answer has begun: then errFinal. It is called
// beside the goroutine that answers.
func (h *http1) proceed() error {
	h.speak.Lock()
	defer h.speak.Unlock()
	if h.final {
		return errFinal
	}
	_, err := h.c.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	return err
}

var errFinal = errors.New("the final answer has begun")
