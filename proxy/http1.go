package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
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

	settle  func()      // called at the first request
	served  bool        // it has been
	parking bool        // the connection is parked, or was and waits on
	idle    atomic.Bool // waiting for a next request, so that a shutdown may close it
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

// http1Body is the request body as the exchange sees it.
type http1Body struct {
	message.Body
	conn     *http1
	expect   bool // the client waits for 100 Continue
	pace     pace
	canceled atomic.Bool
	answered atomic.Bool // the app answers while the body comes
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
	}
	h.freeOut()
	if h.parking {
		return true
	}
	h.rd.Drop()
	return false
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
		h.read.arm(h.c.SetReadDeadline, time.Now(), h.keepAlive())
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
		h.read = deadline{}
		_ = h.c.SetReadDeadline(time.Now().Add(h.p.options.HeaderTimeout))
	}
	data, err := h.rd.Head(maxHead)
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

func (h *http1) startBody() {
	b := &h.body
	b.expect, b.pace = h.req.Expect, pace{}
	b.canceled.Store(false)
	b.answered.Store(false)
	switch {
	case h.req.Chunked:
		b.Start(&h.rd, message.ByChunks, 0)
	case h.req.Length > 0:
		b.Start(&h.rd, message.ByLength, h.req.Length)
	default:
		b.Start(&h.rd, message.NoBody, 0)
	}
}

// Read reads the body, first telling a client that waits to go on.
func (b *http1Body) Read(p []byte) (int, error) {
	h := b.conn
	if b.expect {
		// A 100 behind the final answer would be taken for the next one.
		if err := h.proceed(); err != nil {
			return 0, err
		}
		b.expect = false
	}
	var began time.Time
	if !b.Ready() {
		now := time.Now()
		began = now
		// Once the app answers, a body without a known end is a conversation.
		paced := b.Framing == message.ByLength || !b.answered.Load()
		if paced && b.pace.tooSlow(h.p.options.UploadGrace) {
			return 0, errSlow
		}
		wait := defaultIdleTimeout
		if s := h.x.service; s != nil {
			wait = s.idleTimeout
		}
		if paced {
			wait = min(wait, h.p.options.UploadGrace)
		}
		h.read = deadline{}
		_ = h.c.SetReadDeadline(now.Add(wait))
		if b.canceled.Load() {
			return 0, errClient
		}
	}
	n, err := b.Body.Read(p)
	b.pace.got += int64(n)
	if !began.IsZero() {
		b.pace.waited += time.Since(began)
	}
	return n, err
}

// pace measures how long a client was waited for. Time that the target takes
// is not the client's.
type pace struct {
	got    int64
	waited time.Duration
}

func (p *pace) tooSlow(grace time.Duration) bool {
	return p.waited > grace+time.Duration(p.got)*time.Second/slowest
}

var errSlow = errors.New("the body comes too slowly")

// Trailers are valid after io.EOF.
func (b *http1Body) Trailers() []message.Field { return b.Body.Trailers }

// Whole takes the body out of the buffer if all of it is there.
func (b *http1Body) Whole(limit int) ([]byte, bool) {
	if b.expect || b.Framing != message.ByLength || b.Left > int64(limit) || b.Left > int64(b.Rd.W-b.Rd.R) {
		return nil, false
	}
	data := b.Rd.Buf[b.Rd.R : b.Rd.R+int(b.Left)]
	b.Rd.R += len(data)
	b.Left, b.Done = 0, true
	return data, true
}

// Cancel makes a Read that waits return.
func (b *http1Body) Cancel() {
	b.canceled.Store(true)
	_ = b.conn.c.SetReadDeadline(time.Unix(1, 0))
}

// --- the client's end of the answer ---

func (h *http1) grab() {
	if h.out == nil {
		h.out, h.n = bodyBuffers.Get().(*[bodySize]byte), 0
	}
}

func (h *http1) freeOut() {
	if h.out != nil {
		bodyBuffers.Put(h.out)
		h.out, h.n = nil, 0
	}
}

func (h *http1) inform(res *message.Head) error {
	b := appendStatus(nil, res)
	for i := range res.Fields {
		if f := &res.Fields[i]; handOn(res, f) {
			b = message.AppendField(b, f.Name, f.Value)
		}
	}
	if res.Status == 101 {
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, res.Upgrade...)
		b = append(b, '\r', '\n')
	}
	h.speak.Lock()
	defer h.speak.Unlock()
	_, err := h.c.Write(append(b, '\r', '\n'))
	return err
}

// handOn tells whether a field of an answer is for the client.
func handOn(res *message.Head, f *message.Field) bool {
	switch message.KindOf(f.Name) {
	case message.KindHop, message.KindConnection, message.KindContentLength, message.KindTransferEncoding, message.KindUpgrade, message.KindTE:
		return false
	case message.KindTrailer:
		return res.Chunked
	}
	return res.NConnection == 0 || !res.HopByHop(f.Name)
}

func appendStatus(b []byte, res *message.Head) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(res.Status), 10)
	b = append(b, ' ')
	b = append(b, or(res.Reason, reasonOf(res.Status))...)
	return append(b, '\r', '\n')
}

func (h *http1) begin(x *exchange, res *message.Head, length int64, bodyless bool) error {
	h.grab()
	if h.req.Expect || h.watching != nil {
		h.speak.Lock()
		h.final = true
		h.speak.Unlock()
	}
	if s := x.service; s != nil {
		h.raw.idle = s.idleTimeout
	}
	if h.p.stopping.Load() || x.early || x.own && !h.body.Done {
		// What is left of the body is not worth reading, so the client must
		// not send its next request here.
		h.closing = true
	}
	if x.early {
		h.body.answered.Store(true)
	}
	h.chunked, h.bodyless = false, bodyless
	var framing string
	switch {
	case length >= 0 || bodyless:
	case h.req.Minor == 0:
		h.closing = true
	default:
		h.chunked = true
		framing = "Transfer-Encoding: chunked\r\n"
	}
	// The head of a target may be larger than the buffer, if not by much.
	b := appendStatus(h.out[:0], res)
	secure := x.tls && x.service != nil && x.service.hsts != ""
	for i := range res.Fields {
		f := &res.Fields[i]
		if !handOn(res, f) || secure && message.KindOf(f.Name) == message.KindHSTS {
			continue
		}
		b = message.AppendField(b, f.Name, f.Value)
	}
	if secure {
		b = message.AppendField(b, "Strict-Transport-Security", x.service.hsts)
	}
	if length >= 0 && res.Status != 204 {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, length, 10)
		b = append(b, '\r', '\n')
	}
	b = append(b, framing...)
	switch {
	case h.closing:
		b = append(b, "Connection: close\r\n"...)
	case h.req.Minor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	b = append(b, '\r', '\n')
	if len(b) > len(h.out)-smallestSpace {
		_, err := h.c.Write(b)
		h.n = 0
		return err
	}
	h.n = len(b)
	return nil
}

// smallestSpace is the least that space offers, in bytes.
const smallestSpace = 8 << 10

func (h *http1) space() ([]byte, error) {
	h.grab()
	if len(h.out)-h.n < smallestSpace {
		if err := h.flush(); err != nil {
			return nil, err
		}
	}
	if h.chunked {
		return h.out[h.n+message.ChunkBefore : len(h.out)-message.ChunkAfter], nil
	}
	return h.out[h.n:], nil
}

func (h *http1) wrote(n int) error {
	if !h.chunked {
		h.n += n
		return nil
	}
	h.n += len(message.FrameChunk(h.out[:], h.n+message.ChunkBefore, n))
	return nil
}

func (h *http1) flush() error {
	if h.n == 0 {
		return nil
	}
	_, err := h.c.Write(h.out[:h.n])
	h.n = 0
	return err
}

func (h *http1) end(trailers []message.Field) error {
	if h.chunked {
		h.grab()
		b := append(h.out[:h.n], "0\r\n"...)
		for _, f := range trailers {
			b = message.AppendField(b, f.Name, f.Value)
		}
		b = append(b, '\r', '\n')
		if len(b) > len(h.out) {
			_, err := h.c.Write(b)
			h.n = 0
			return err
		}
		h.n = len(b)
	}
	return h.flush()
}

// abort closes without the end of the body, so that the client knows.
func (h *http1) abort() {
	h.broken = true
	_ = h.flush()
	if t, ok := h.raw.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	h.raw.Close()
}

func (h *http1) tunnel() (io.ReadWriteCloser, []byte, bool) {
	h.broken = true
	if s := h.x.service; s != nil {
		h.raw.idle = s.idleTimeout
	}
	early := append([]byte(nil), h.rd.Buffered()...)
	h.rd.R = h.rd.W
	return h.c, early, true
}
