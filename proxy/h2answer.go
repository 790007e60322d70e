package proxy

import (
	"io"
	"strconv"

	"towline/proxy/message"
)

// The client's end of the answer; see client for the contract. All of this file
// runs in the handler, but for inform, which whoever reads the body may call.

// inform sends an interim answer, unless the final one has begun.
func (s *h2Stream) inform(res *message.Head) error {
	b := message.AppendHPACKStatus(nil, res.Status)
	b = appendH2Fields(b, res, "")
	h := s.h
	s.lockWithRoom()
	if s.goneLocked() {
		h.mu.Unlock()
		return errClient
	}
	if !s.answered {
		s.queueHeadLocked(b, false)
	}
	batch := h.takeLocked()
	h.mu.Unlock()
	h.writeOut(batch)
	return nil
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
	s.head = b
	return nil
}

// h2Data is how much of an answer's body a frame carries, in bytes: with its
// head it fills a TLS record. A buffer holds as many as it can.
const (
	h2Data = message.MaxFrame - message.FrameHeaderSize
	h2Fill = bodySize / message.MaxFrame * h2Data
)

func (s *h2Stream) space() ([]byte, error) {
	if s.out == nil {
		s.out, s.sent, s.n = bodyBuffers.Get().(*[bodySize]byte), 0, 0
	}
	if h2Fill-s.n < smallestSpace {
		if err := s.flush(); err != nil {
			return nil, err
		}
	}
	return s.out[s.n:h2Fill], nil
}

func (s *h2Stream) wrote(n int) error {
	s.n += n
	return nil
}

func (s *h2Stream) flush() error { return s.push(false, nil) }

func (s *h2Stream) end(trailers []message.Field) error {
	var b []byte
	for _, f := range trailers {
		b = message.AppendHPACK(b, f.Name, f.Value)
	}
	return s.push(true, b)
}

// push sends the head, if that is due, and what is collected of the body, as
// far and as fast as the client's windows allow.
func (s *h2Stream) push(end bool, trailers []byte) error {
	h := s.h
	for {
		s.lockWithRoom()
		gone := s.goneLocked()
		all := gone || s.queueLocked(end, trailers)
		batch := h.takeLocked()
		h.mu.Unlock()
		h.writeOut(batch)
		switch {
		case gone:
			return errClient
		case all:
			s.sent, s.n = 0, 0
			return nil
		}
		if !s.wait(&s.download, s.movableLocked) || s.download.tooSlow(h.p.options.UploadGrace) {
			return errClient
		}
	}
}

// lockWithRoom takes the lock once there is room for a head, which no window bounds: a
// client that asks and does not read could make us queue one after the other. How long
// that takes is bounded by the writer's timeout.
func (s *h2Stream) lockWithRoom() {
	h := s.h
	h.mu.Lock()
	for len(h.out) > h2HeadQueue && !s.goneLocked() {
		h.quiet.Wait()
	}
}

// movableLocked tells whether there is something to do for push: more may be
// queued, or never.
func (s *h2Stream) movableLocked() bool {
	h := s.h
	switch {
	case s.goneLocked():
		return true
	case s.window <= 0:
		// It was woken in vain: another has its turn.
		h.unblockLocked()
		return false
	case h.sharedLocked() > 0:
		return true
	}
	if !s.blocked {
		s.blocked = true
		h.blocked = append(h.blocked, s)
	}
	return false
}

// queueLocked queues what may be queued, and tells whether that was all.
func (s *h2Stream) queueLocked(end bool, trailers []byte) bool {
	h := s.h
	h.bufferLocked(len(s.head) + s.n - s.sent + len(trailers) + 8*message.FrameHeaderSize)
	if len(s.head) > 0 {
		last := end && s.n == 0 && trailers == nil
		s.queueHeadLocked(s.head, last)
		s.head, s.answered = s.head[:0], true
		if last {
			s.endLocalLocked()
			return true
		}
	}
	for s.sent < s.n {
		n := int(max(0, min(int64(s.n-s.sent), s.window, h.sharedLocked(), h2Data)))
		if n == 0 {
			return false
		}
		s.window -= int64(n)
		h.granted -= int64(n)
		h.sent += int64(n)
		s.download.got += int64(n)
		var flags byte
		if end && s.sent+n == s.n && trailers == nil {
			flags = message.FlagEndStream
		}
		h.out = append(message.AppendFrame(h.out, n, message.FrameData, flags, s.id), s.out[s.sent:s.sent+n]...)
		if s.sent += n; flags != 0 {
			s.endLocalLocked()
			return true
		}
	}
	switch {
	case !end:
		return true
	case trailers != nil:
		s.queueHeadLocked(trailers, true)
	default:
		h.out = message.AppendFrame(h.out, 0, message.FrameData, message.FlagEndStream, s.id)
	}
	s.endLocalLocked()
	return true
}

// queueHeadLocked splits a block into frames, which must not be interrupted.
func (s *h2Stream) queueHeadLocked(block []byte, end bool) {
	h := s.h
	h.bufferLocked(len(block) + message.FrameHeaderSize + 1)
	kind, flags := byte(message.FrameHeaders), byte(0)
	if end {
		flags = message.FlagEndStream
	}
	extra := 0
	if !h.tableSet {
		extra = 1
	}
	for first := true; first || len(block) > 0; first = false {
		n := min(len(block), message.MaxFrame-extra)
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

// abort resets the stream, with the target's code if it gave one.
func (s *h2Stream) abort() {
	h := s.h
	h.mu.Lock()
	if !s.localEnd {
		s.resetLocked(or(s.x.broken, message.CodeInternal))
	}
	batch := h.takeLocked()
	h.mu.Unlock()
	h.writeOut(batch)
}

func (s *h2Stream) tunnel() (io.ReadWriteCloser, []byte, bool) { return nil, nil, false }
