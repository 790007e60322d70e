package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"towline/proxy/message"
)

// http1 serves HTTP/1.1 on one client connection, one request after the other.
type http1 struct {
	p    *Proxy
	raw  *wire    // TCP
	c    net.Conn // raw, or TLS on it
	rd   message.Reader
	req  message.Head
	x    exchange
	body http1Body

	settle  func()       // called at the first request
	served  bool         // it has been
	parking bool         // the connection is parked, or was and waits on
	idle    atomic.Bool  // waiting for a next request, so that a shutdown may close it
	waits   atomic.Int64 // since when for any, or for the rest of its head, Unix time in nanoseconds; 0: it does not wait
	read    deadline
	first   [1]byte // a wait for the next request needs no buffer

	// The answer on its way.
	out      *[bodySize]byte
	n        int  // bytes in out
	chunked  bool // body framing
	bodyless bool
	closing  bool // the connection ends after this answer
	broken   bool // the answer was broken off

	watching chan struct{} // closed when the watch for the client's end has ended; nil: there is none
	speak    sync.Mutex    // held while writing beside the goroutine that answers
	final    bool          // the final answer has begun; guarded by speak
}

func newHTTP1(p *Proxy, raw *wire, c net.Conn, peer netip.Addr, port uint16, secure bool) *http1 {
	h := &http1{p: p, raw: raw, c: c}
	h.rd.Src = c
	raw.idle = defaultIdleTimeout
	h.x.p, h.x.peer, h.x.port, h.x.tls = p, peer, port, secure
	h.body.conn = h
	return h
}

// parkAfter is how long a connection is idle before it is parked: it goes on in a
// new goroutine, for requests have made the stack of the old one deep.
const parkAfter = 2 * time.Second

// serve returns when the connection is finished, and the caller closes it, or when
// it is parked, and the caller calls serve again in another goroutine.
func (h *http1) serve() (parked bool) {
	for h.next() {
		err := h.one()
		h.freeOut()
		if err != nil || h.broken {
			break
		}
		if !h.body.Done {
			h.linger()
			break
		}
		if h.closing {
			h.linger()
			break
		}
		h.rd.Release()
		h.shrink()
	}
	h.freeOut()
	if h.parking {
		return true
	}
	h.rd.Drop()
	return false
}

// What a connection keeps of its memory between requests: fields of a head, and bytes
// of what went to the target.
const (
	keptFields = 64
	keptBytes  = 4 << 10
)

// shrink lets go of what an unusually large request or answer took, buffers that fields
// point into included: a connection may be idle for long, and anybody may have as many
// as they like.
func (h *http1) shrink() {
	h.req.Shrink(keptFields)
	h.x.res.Shrink(keptFields)
	h.x.idText = ""
	if cap(h.x.out.b) > keptBytes {
		h.x.out.b = nil
	}
	if cap(h.body.Body.Trailers) > keptFields {
		h.body.Body.Trailers = nil
	}
}

// one serves the request whose head was read.
func (h *http1) one() error {
	x := &h.x
	x.p.running.add()
	defer x.p.running.done()
	h.begun()
	peer, port, secure := x.peer, x.port, x.tls
	x.reset()
	x.client, x.req, x.protocol = h, &h.req, "h1"
	x.peer, x.port, x.tls = peer, port, secure
	if h.startBody(); h.req.HasBody() {
		x.body = &h.body
	}
	h.closing = h.req.Close || h.req.Minor == 0 && !h.req.KeepAlive
	h.final, h.raw.idle = false, defaultIdleTimeout
	return x.serve()
}

// begun notes the connection's first request.
func (h *http1) begun() {
	if !h.served {
		h.served = true
		h.settle()
	}
}

// next waits for a request and reads its head. A malformed one is answered here.
func (h *http1) next() bool {
	if h.rd.R == h.rd.W {
		now := time.Now()
		h.read.arm(h.c.SetReadDeadline, now, h.keepAlive())
		if !h.parking {
			h.waits.Store(now.UnixNano())
		}
		// The first request of a connection is awaited even when stopping: the
		// client cannot know, and may not be able to repeat it.
		h.idle.Store(h.served)
		if h.served && h.p.stopping.Load() {
			h.wake()
		}
		n, err := h.c.Read(h.first[:])
		h.idle.Store(false)
		if n == 0 || err != nil {
			return h.stayIdle(err)
		}
		h.parking = false
		h.rd.Release()
		h.rd.Acquire()
		h.rd.Buf[0], h.rd.W = h.first[0], 1
	}
	// TLS holds the rest of the record, so this read costs no system call.
	if err := h.restOfHead(); err != nil {
		h.refuse(err)
		return false
	}
	return true
}

// keepAlive is how long to wait for the next request, or until the connection is
// parked.
func (h *http1) keepAlive() time.Duration {
	wait := h.p.options.KeepAlive
	switch {
	case !h.served || wait <= 2*parkAfter:
		return wait
	case h.parking:
		return wait - parkAfter
	}
	return parkAfter
}

// stayIdle tells, by parking, whether to wait for longer after a wait that ended
// with err. It returns false, for there is no request.
func (h *http1) stayIdle(err error) bool {
	timeout := isTimeout(err)
	if timeout && h.p.stopping.Load() {
		h.linger() // a close would answer what comes just now with a reset
		timeout = false
	}
	h.parking = timeout && h.keepAlive() == parkAfter
	h.read = deadline{}
	return false
}

func (h *http1) restOfHead() error {
	if h.rd.W-h.rd.R == 1 || message.HeadEnd(h.rd.Buffered(), 0) < 0 {
		now := time.Now()
		h.read = deadline{}
		_ = h.c.SetReadDeadline(now.Add(h.p.options.HeaderTimeout))
		h.waits.Store(now.UnixNano())
	}
	data, err := h.rd.Head(maxHead)
	h.waits.Store(0)
	if err != nil {
		return err
	}
	return h.req.ParseRequest(data)
}

// maxHead bounds every request head, in bytes, before its service is known.
const maxHead = 256 << 10

// refuse answers a request that never got as far as a service.
func (h *http1) refuse(err error) {
	status := 400
	switch {
	case errors.Is(err, message.ErrHeadTooLarge):
		status = 431
		if line := bytes.IndexByte(h.rd.Buffered(), '\n'); line < 0 || line > maxHead/2 {
			status = 414
		}
	case errors.Is(err, message.ErrManyFields):
		status = 431
	case errors.Is(err, message.ErrVersion):
		status = 505
	case errors.Is(err, message.ErrEncoding):
		status = 501
	case errors.Is(err, message.ErrExpect):
		status = 417
	case errors.Is(err, message.ErrBadRequest), errors.Is(err, message.ErrBadFraming):
	case isTimeout(err):
		status = 408
	default:
		return
	}
	x := &h.x
	peer := x.peer
	x.reset()
	h.req.Reset()
	x.client, x.req, x.peer, x.start = h, &h.req, peer, time.Now()
	h.closing = true
	h.p.refused.Add(1)
	if x.page(status, defaultPage(status)) == nil {
		h.linger()
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// lingering is how long a client has to read the last answer.
const lingering = 500 * time.Millisecond

// linger ends the connection so that the client can still read the answer: a
// close with unread input would reset it away.
func (h *http1) linger() {
	if t, ok := h.c.(*tls.Conn); ok {
		_ = t.CloseWrite()
	}
	half, ok := h.raw.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = h.raw.SetReadDeadline(time.Now().Add(lingering))
	_, _ = io.CopyN(io.Discard, h.raw, 1<<20)
}
