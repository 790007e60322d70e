package proxy

import (
	"io"
	"sync"
	"time"

	"towline/proxy/message"
)

// h2Stream is one request on an HTTP/2 connection: its body, and the client's
// end of the answer (h2answer.go). See http2 for who owns what.
type h2Stream struct {
	h  *http2
	id uint32

	moved     sync.Cond // anything below, or what blocked waits for
	window    int64     // that the client grants for the answer
	recv      int64     // that the client may use
	owed      int64     // of its body, used up and not yet given back
	sized     bool      // Content-Length was there
	left      int64     // of it
	body      h2Body
	tail      []message.Field // trailers of the request
	remoteEnd bool            // END_STREAM came
	localEnd  bool            // END_STREAM is queued
	reset     bool            // by either side
	canceled  bool            // nobody wants the body
	answered  bool            // the head of the final answer is queued
	blocked   bool            // it is in http2.blocked

	// The handler's own.
	req      message.Head
	x        exchange
	size     int  // of the head, as http2.heads counts
	tooLarge bool // the head is incomplete
	bodyless bool // the head was all of the request
	expects  bool
	upload   pace
	download pace
	head     []byte // of the answer, encoded, not yet queued
	out      *[bodySize]byte
	sent, n  int // of out: queued, filled
	fields   [12]message.Field
}

func newH2Stream(h *http2, id uint32) *h2Stream {
	s := &h2Stream{h: h, id: id}
	s.moved.L = &h.mu
	s.req.Fields = s.fields[:0]
	return s
}

// run serves the request.
func (s *h2Stream) run(w *h2Worker) {
	h, x := s.h, &s.x
	sound := false
	defer h.p.running.done()
	defer func() { s.finish(w, sound) }()
	defer h.p.guard("connection", func() { h.raw.Close() })
	w.lend(s)
	x.p = h.p
	x.reset()
	x.client, x.req, x.protocol = s, &s.req, "h2"
	x.peer, x.port, x.tls = h.peer, h.port, true
	if s.expects = s.req.Expect; !s.bodyless {
		x.body = s
	}
	if s.tooLarge {
		x.start = time.Now()
		h.p.refused.Add(1)
		_ = x.page(431, defaultPage(431))
	} else {
		_ = x.serve()
	}
	sound = true
}

// finish ends the stream, whatever became of its exchange. After a panic
// somebody else may still hold what was pooled; it is left to the collector.
func (s *h2Stream) finish(w *h2Worker, sound bool) {
	h := s.h
	if sound {
		w.takeBack(s)
		if s.out != nil {
			bodyBuffers.Put(s.out)
			s.out = nil
		}
	}
	h.mu.Lock()
	switch {
	case s.reset:
	case !s.localEnd:
		s.resetLocked(message.CodeInternal)
	case !s.remoteEnd:
		// The answer is complete; the rest of the body is of no use.
		s.resetLocked(message.CodeNone)
	}
	if !s.reset && h.offences > 0 {
		h.offences--
	}
	s.canceled = true
	if n := s.body.size(); n > 0 {
		h.giveBackLocked(int64(n))
	}
	if sound {
		s.body.drop()
	}
	h.heads -= s.size
	h.unblockLocked()
	if h.handling--; h.handling == 0 {
		h.releaseReaderLocked()
		h.quiet.Broadcast()
	}
	batch := h.takeLocked()
	h.mu.Unlock()
	h.writeOut(batch)
}

// cutLocked ends the stream at once: its handler finds out when it reads or
// writes, and its target's connection is closed.
func (s *h2Stream) cutLocked() {
	if s.reset {
		return
	}
	s.reset = true
	s.closeLocked()
	s.x.cut.close()
	s.moved.Broadcast()
}

// resetLocked resets the stream from our side.
func (s *h2Stream) resetLocked(code uint32) {
	if s.reset {
		return
	}
	s.cutLocked()
	s.h.retireLocked(s.id)
	s.h.bufferLocked(16)
	s.h.out = message.AppendReset(s.h.out, s.id, code)
}

// failLocked resets the stream because the client broke a rule. An error ends
// the connection. It is for the reader, which writes nothing itself.
func (s *h2Stream) failLocked(code uint32) error {
	s.h.p.refused.Add(1)
	s.resetLocked(code)
	s.h.startWriterLocked()
	return s.h.offendLocked()
}

// endRemoteLocked notes END_STREAM of the client's, endLocalLocked ours. With
// both the stream is closed, and no longer counts (RFC 9113, 5.1.2).
func (s *h2Stream) endRemoteLocked() {
	if s.remoteEnd = true; s.localEnd {
		s.closeLocked()
	}
}

func (s *h2Stream) endLocalLocked() {
	if s.localEnd = true; s.remoteEnd {
		s.closeLocked()
	}
}

func (s *h2Stream) closeLocked() {
	delete(s.h.streams, s.id)
	if len(s.h.streams) == 0 {
		s.h.rests = time.Now()
	}
}

// goneLocked tells whether the stream or its connection is of no more use.
func (s *h2Stream) goneLocked() bool { return s.reset || s.h.err != nil }

// wait returns true once done is. done is asked with the lock held, at once and
// whenever the stream has moved. Time in which the client sends nothing, or leaves
// no window, counts in p; after the idle timeout of it at a stretch wait returns
// false, however often the stream has moved for another reason.
func (s *h2Stream) wait(p *pace, done func() bool) bool {
	h, idle := s.h, s.idle()
	h.mu.Lock()
	defer h.mu.Unlock()
	var since time.Time // when it began to be the client's turn; zero: it is not
	for !done() {
		now := time.Now()
		switch turn := p == &s.upload || s.window <= 0 || h.granted <= 0; {
		case !turn:
			since = time.Time{} // those before it are written; the writer has a timeout
		case since.IsZero():
			since = now
		case now.Sub(since) >= idle:
			return false
		}
		s.waitOnce(p, idle, since)
	}
	return true
}

// waitOnce waits until the stream moves, or until the idle timeout since then.
func (s *h2Stream) waitOnce(p *pace, idle time.Duration, since time.Time) {
	h, began, sent := s.h, time.Now(), s.h.sent
	left := idle
	if !since.IsZero() {
		left -= began.Sub(since)
	}
	own := p == &s.upload || s.window <= 0
	timer := time.AfterFunc(left, func() {
		h.mu.Lock()
		s.moved.Broadcast()
		h.mu.Unlock()
	})
	s.moved.Wait()
	timer.Stop()
	if since.IsZero() {
		return
	}
	p.waited += time.Since(began)
	if !own {
		p.got += h.sent - sent // the window of all streams together served others
	}
}

func (s *h2Stream) idle() time.Duration {
	if s.x.service != nil {
		return s.x.service.idleTimeout
	}
	return defaultIdleTimeout
}

// --- the request body ---

// Read waits for data.
func (s *h2Stream) Read(p []byte) (int, error) {
	if s.expects {
		s.expects = false
		if err := s.inform(&message.Head{Status: 100}); err != nil {
			return 0, err
		}
	}
	if !s.wait(&s.upload, func() bool {
		return s.body.size() > 0 || s.remoteEnd || s.canceled || s.goneLocked()
	}) {
		return 0, errSlow
	}
	h := s.h
	if t := s.x.target; (t == nil || !t.spec.H2C) && s.upload.tooSlow(h.p.options.UploadGrace) {
		return 0, errSlow // streams of gRPC may be silent
	}
	h.mu.Lock()
	if s.canceled || s.goneLocked() {
		h.mu.Unlock()
		return 0, errClient
	}
	n := s.body.read(p)
	s.upload.got += int64(n)
	s.giveBackLocked(int64(n))
	ended := s.remoteEnd && s.body.size() == 0
	batch := h.takeLocked()
	h.mu.Unlock()
	h.writeOut(batch)
	if ended {
		return n, io.EOF
	}
	return n, nil
}

// giveBackLocked returns window for n bytes that are used up.
func (s *h2Stream) giveBackLocked(n int64) {
	h := s.h
	h.giveBackLocked(n)
	if s.owed += n; s.owed >= h2StreamWindow/2 && !s.remoteEnd && !s.reset {
		h.bufferLocked(16)
		h.out = message.AppendWindow(h.out, s.id, uint32(s.owed))
		s.recv += s.owed
		s.owed = 0
	}
}

// Trailers are valid after io.EOF.
func (s *h2Stream) Trailers() []message.Field { return s.tail }

// Whole leaves the data in place, so that it may be asked for again.
func (s *h2Stream) Whole(limit int) ([]byte, bool) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if !s.remoteEnd || s.reset || len(s.tail) > 0 || s.body.size() > limit {
		return nil, false
	}
	return s.body.whole()
}

// Cancel makes a Read that waits return.
func (s *h2Stream) Cancel() {
	s.h.mu.Lock()
	s.canceled = true
	s.moved.Broadcast()
	s.h.mu.Unlock()
}
