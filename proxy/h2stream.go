package proxy

import (
	"io"
	"strconv"
	"sync"
	"time"
	"towline/proxy/message"
)

// h2Stream is one request on an HTTP/2 connection: its body, and the client's
// end of the answer.
type h2Stream struct {
	h        *http2
	id       uint32
	req      message.Head
	x        exchange
	tooLarge bool

	// Guarded by h.mu.
	window   int64 // that the client grants for the answer
	left     int64 // of Content-Length
	data     []byte
	ended    bool // END_STREAM was received
	reset    bool
	canceled bool
	taken    int64
	tail     []message.Field

	// Of the answer; its goroutine's own.
	head    []byte // encoded, not sent yet
	out     *[bodySize]byte
	n       int
	done    bool // END_STREAM was sent, or the stream was reset
	began   bool
	expects bool
	pace    pace
}

var h2StreamPool = sync.Pool{New: func() any { return new(h2Stream) }}

func newH2Stream(h *http2, id uint32) *h2Stream {
	s := h2StreamPool.Get().(*h2Stream)
	s.h, s.id, s.tooLarge = h, id, false
	s.req.Reset()
	s.x.cut.reset()
	s.window, s.left, s.taken = 0, 0, 0
	s.data, s.tail, s.head = s.data[:0], s.tail[:0], s.head[:0]
	s.ended, s.reset, s.canceled = false, false, false
	s.n, s.done, s.began, s.expects = 0, false, false, false
	s.pace = pace{}
	return s
}

// free gives the stream's memory to the next one. Nobody may hold it any more.
func (s *h2Stream) free() {
	s.h = nil
	if cap(s.data) > 64<<10 {
		s.data = nil
	}
	h2StreamPool.Put(s)
}

// run serves the request.
func (s *h2Stream) run() {
	h := s.h
	x := &s.x
	x.p = h.p
	x.reset()
	x.client, x.req, x.protocol = s, &s.req, "h2"
	x.peer, x.port, x.tls = h.peer, h.port, true
	s.expects = s.req.Expect
	h.mu.Lock()
	if !s.ended || len(s.data) > 0 {
		x.body = s
	}
	h.mu.Unlock()
	h.p.running.add()
	defer h.p.running.done()
	var err error
	if s.tooLarge {
		x.start = time.Now()
		h.p.refused.Add(1)
		err = x.page(431, defaultPage(431))
	} else {
		err = x.serve()
	}
	if s.out != nil {
		bodyBuffers.Put(s.out)
		s.out = nil
	}
	h.mu.Lock()
	if err != nil && !s.done && !s.reset {
		h.sendLocked(message.AppendReset(nil, s.id, message.CodeInternal))
	} else if !s.ended && !s.reset {
		// The answer is complete; the rest of the body is of no use.
		h.sendLocked(message.AppendReset(nil, s.id, message.CodeNone))
	}
	if n := int64(len(s.data)); n > 0 {
		h.giveBackLocked(nil, n)
	}
	delete(h.streams, s.id)
	h.handling--
	if !s.reset && h.resets > 0 {
		h.resets--
	}
	if h.handling == 0 && (h.leaving || h.err != nil) {
		_ = h.raw.SetReadDeadline(time.Unix(1, 0))
	}
	if h.err != nil {
		h.moved.Broadcast()
	}
	h.mu.Unlock()
	s.free()
}

// resetLocked ends the stream from the client's side: the exchange finds out
// when it reads or writes, and its target's connection is cut at once.
func (s *h2Stream) resetLocked() {
	if !s.reset {
		s.reset = true
		s.x.cut.close()
	}
}

// failLocked resets the stream from our side.
func (s *h2Stream) failLocked(code uint32) {
	if !s.reset {
		s.h.p.refused.Add(1)
		s.resetLocked()
		s.h.sendLocked(message.AppendReset(nil, s.id, code))
		s.h.moved.Broadcast()
	}
}

// --- the request body ---

// Read waits for data.
func (s *h2Stream) Read(p []byte) (int, error) {
	h := s.h
	if s.expects {
		s.expects = false
		if err := s.inform(&message.Head{Status: 100}); err != nil {
			return 0, err
		}
	}
	var timer *time.Timer
	var began time.Time
	expired := false
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(s.data) == 0 && !s.ended && !s.reset && !s.canceled && h.err == nil && !expired {
		if timer == nil {
			began = time.Now()
			timer = time.AfterFunc(s.idle(), func() {
				h.mu.Lock()
				expired = true
				h.moved.Broadcast()
				h.mu.Unlock()
			})
			defer timer.Stop()
		}
		h.moved.Wait()
	}
	if !began.IsZero() {
		s.pace.waited += time.Since(began)
	}
	if s.req.Length >= 0 && s.pace.tooSlow(h.p.options.UploadGrace) {
		return 0, errSlow
	}
	if n := copy(p, s.data); n > 0 && !s.reset {
		s.pace.got += int64(n)
		s.data = s.data[:copy(s.data, s.data[n:])]
		h.giveBackLocked(s, int64(n))
		if len(s.data) == 0 && s.ended {
			return n, io.EOF
		}
		return n, nil
	}
	if s.ended && !s.reset {
		return 0, io.EOF
	}
	return 0, message.ErrStreamReset
}

func (s *h2Stream) idle() time.Duration {
	if s.x.service != nil {
		return s.x.service.idleTimeout
	}
	return defaultIdleTimeout
}

// Trailers are valid after io.EOF.
func (s *h2Stream) Trailers() []message.Field { return s.tail }

// Whole leaves the data in place: it is the stream's own until the end.
func (s *h2Stream) Whole(limit int) ([]byte, bool) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if !s.ended || len(s.tail) > 0 || len(s.data) > limit {
		return nil, false
	}
	return s.data, true
}

// Cancel makes a Read that waits return.
func (s *h2Stream) Cancel() {
	s.h.mu.Lock()
	s.canceled = true
	s.h.moved.Broadcast()
	s.h.mu.Unlock()
}

// --- the client's end of the answer ---

func (s *h2Stream) inform(res *message.Head) error {
	b := message.AppendHPACKStatus(nil, res.Status)
	b = appendH2Fields(b, res, "")
	return s.sendHead(b, false)
}

// appendH2Fields writes the fields of an answer that are for the client.
func appendH2Fields(b []byte, res *message.Head, hstsValue string) []byte {
	for i := range res.Fields {
		f := &res.Fields[i]
		if !handOn(res, f) || hstsValue != "" && message.KindOf(f.Name) == message.KindHSTS {
			continue
		}
		b = message.AppendHPACK(b, f.Name, f.Value)
	}
	return b
}

func (s *h2Stream) begin(x *exchange, res *message.Head, length int64, bodyless bool) error {
	var secure string
	if x.service != nil {
		secure = x.service.hsts
	}
	b := message.AppendHPACKStatus(s.head[:0], res.Status)
	b = appendH2Fields(b, res, secure)
	if secure != "" {
		b = message.AppendHPACK(b, "strict-transport-security", secure)
	}
	if length >= 0 && res.Status != 204 {
		var memory [20]byte
		b = message.AppendHPACK(b, "content-length", message.Text(strconv.AppendInt(memory[:0], length, 10)))
	}
	s.head, s.began = b, true
	return nil
}

func (s *h2Stream) space() ([]byte, error) {
	if s.out == nil {
		s.out, s.n = bodyBuffers.Get().(*[bodySize]byte), 0
	}
	if len(s.out)-s.n < smallestSpace {
		if err := s.flush(); err != nil {
			return nil, err
		}
	}
	return s.out[s.n:], nil
}

func (s *h2Stream) wrote(n int) error {
	s.n += n
	return nil
}

func (s *h2Stream) flush() error { return s.push(false, nil) }

func (s *h2Stream) end(trailers []message.Field) error {
	if len(trailers) == 0 {
		return s.push(true, nil)
	}
	b := []byte(nil)
	for _, f := range trailers {
		b = message.AppendHPACK(b, f.Name, f.Value)
	}
	return s.push(true, b)
}

// push sends the head, if that is due, and the collected data, as far and as
// fast as the client's windows allow.
func (s *h2Stream) push(end bool, trailers []byte) error {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.reset || h.err != nil {
		return errClient
	}
	if len(s.head) > 0 && s.began {
		s.began = false
		s.queueHeadLocked(s.head, end && s.n == 0 && trailers == nil)
		if end && s.n == 0 && trailers == nil {
			s.done = true
		}
	}
	sent := 0
	for sent < s.n {
		if err := s.waitWindowLocked(); err != nil {
			return err
		}
		n := int(min(int64(s.n-sent), s.window, h.window, int64(h.maxFrame)))
		s.window -= int64(n)
		h.window -= int64(n)
		var flags byte
		if end && sent+n == s.n && trailers == nil {
			flags = message.FlagEndStream
			s.done = true
		}
		h.out = append(message.AppendFrame(h.out, n, message.FrameData, flags, s.id), s.out[sent:sent+n]...)
		sent += n
	}
	s.n = 0
	switch {
	case !end || s.done:
	case trailers != nil:
		s.queueHeadLocked(trailers, true)
		s.done = true
	default:
		h.out = message.AppendFrame(h.out, 0, message.FrameData, message.FlagEndStream, s.id)
		s.done = true
	}
	h.flushLocked()
	if h.err != nil {
		return errClient
	}
	return nil
}

// waitWindowLocked waits until the client takes more, for no longer than the
// idle timeout. What is queued is sent before.
func (s *h2Stream) waitWindowLocked() error {
	h := s.h
	if s.window > 0 && h.window > 0 && len(h.out) < h2WriteQueue {
		return nil
	}
	h.flushLocked()
	expired := false
	var timer *time.Timer
	for s.window <= 0 || h.window <= 0 {
		if s.reset || h.err != nil || expired {
			return errClient
		}
		if timer == nil {
			timer = time.AfterFunc(s.idle(), func() {
				h.mu.Lock()
				expired = true
				h.moved.Broadcast()
				h.mu.Unlock()
			})
			defer timer.Stop()
		}
		h.moved.Wait()
	}
	if s.reset || h.err != nil {
		return errClient
	}
	return nil
}

func (s *h2Stream) sendHead(block []byte, end bool) error {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.reset || h.err != nil {
		return errClient
	}
	s.queueHeadLocked(block, end)
	h.flushLocked()
	return nil
}

// queueHeadLocked splits a block into frames, which must not be interrupted.
func (s *h2Stream) queueHeadLocked(block []byte, end bool) {
	h := s.h
	kind, flags := byte(message.FrameHeaders), byte(0)
	if end {
		flags = message.FlagEndStream
	}
	extra := 0
	if !h.tableSet {
		extra = 1
	}
	for first := true; first || len(block) > 0; first = false {
		n := min(len(block), h.maxFrame-extra)
		if n == len(block) {
			flags |= message.FlagEndHeaders
		}
		h.out = message.AppendFrame(h.out, n+extra, kind, flags, s.id)
		if extra > 0 {
			// We keep no HPACK table, and must say so if the client made its smaller.
			h.tableSet, extra = true, 0
			h.out = append(h.out, 0x20)
		}
		h.out = append(h.out, block[:n]...)
		block = block[n:]
		kind, flags = message.FrameContinuation, 0
	}
}

// abort resets the stream.
func (s *h2Stream) abort() {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if !s.reset && !s.done {
		s.reset = true
		h.sendLocked(message.AppendReset(nil, s.id, message.CodeInternal))
	}
}

func (s *h2Stream) tunnel() (io.ReadWriteCloser, []byte, bool) { return nil, nil, false }
