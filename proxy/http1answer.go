package proxy

import (
	"io"
	"net"
	"strconv"

	"towline/proxy/message"
)

// The client's end of the answer over HTTP/1.1; see client for the contract.

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
