package proxy

import (
	"errors"
	"sync/atomic"
	"time"

	"towline/proxy/message"
)

// http1Body is the request body as the exchange sees it.
type http1Body struct {
	message.Body
	conn     *http1
	expect   bool // the client waits for 100 Continue
	pace     pace
	canceled atomic.Bool
	answered atomic.Bool // the app answers while the body comes
	whole    []byte      // what Whole took; it stays in the buffer
}

func (h *http1) startBody() {
	b := &h.body
	b.expect, b.pace, b.whole = h.req.Expect, pace{}, nil
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

// Whole takes the body out of the buffer if all of it is there. It can be asked again,
// for the next target.
func (b *http1Body) Whole(limit int) ([]byte, bool) {
	if b.whole != nil {
		return b.whole, true
	}
	if b.expect || b.Framing != message.ByLength || b.Left > int64(limit) || b.Left > int64(b.Rd.W-b.Rd.R) {
		return nil, false
	}
	data := b.Rd.Buf[b.Rd.R : b.Rd.R+int(b.Left)]
	b.Rd.R += len(data)
	b.Left, b.Done, b.whole = 0, true, data
	return data, true
}

// Cancel makes a Read that waits return.
func (b *http1Body) Cancel() {
	b.canceled.Store(true)
	_ = b.conn.c.SetReadDeadline(time.Unix(1, 0))
}
