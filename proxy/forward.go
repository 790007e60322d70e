package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"towline/proxy/message"
)

// maxTries bounds the targets that one request is offered to.
const maxTries = 3

// wholeLimit is how large a body may be, in bytes, to be sent along with the
// head once it has arrived.
const wholeLimit = 16 << 10

var (
	errRefused = errors.New("target does not accept connections")
	errStale   = errors.New("kept connection was closed")
	errTimeout = errors.New("target did not answer in time")
	errDied    = errors.New("target closed the connection")
	errTooBig  = errors.New("body too large")
)

// forward sends the request to a target and the answer back. A target that
// refuses the connection never saw the request, so another is tried.
func (x *exchange) forward(name string) error {
	var memory [maxTries]*target
	tried := memory[:0]
	for {
		t := x.choose(name, tried)
		if t == nil {
			if len(tried) == 0 {
				return x.fail(503, "no-target")
			}
			return x.fail(502, "target-refused")
		}
		x.target = t
		err := x.offer(t, tried)
		if err == nil || err == errClient {
			return err
		}
		if x.cut.gone() {
			return x.vanished()
		}
		// Nothing was answered yet, else attempt had seen to it.
		tried = append(tried, t)
		switch {
		case err == errRefused:
			t.eject()
			if len(tried) < maxTries {
				continue
			}
			return x.fail(502, "target-refused")
		case err == errTimeout:
			return x.fail(504, "target-timeout")
		case err == errTooBig:
			return x.fail(413, "body-too-large")
		case err == message.ErrBadFraming:
			return x.fail(400, "bad-body")
		case err == message.ErrBadAnswer:
			return x.fail(502, "bad-answer")
		case err == errDied && x.req.Idempotent() && x.body == nil:
			t.eject()
			if len(tried) < maxTries && len(tried) < len(x.service.targets) {
				continue
			}
		}
		return x.fail(502, "target-closed")
	}
}

// vanished notes that the client went before it was answered. The status is nginx's;
// nobody is sent it.
func (x *exchange) vanished() error {
	x.fault, x.status = "client-gone", 499
	return errClient
}

// offer makes an attempt with a target that choose counted the request in at.
func (x *exchange) offer(t *target, tried []*target) error {
	defer t.running.done()
	within := dialTimeout
	if x.service.others(t, tried) {
		within = dialPatience
	}
	return x.attempt(t, within)
}

// choose picks a target from the table as it is now and counts the request in.
// The caller calls offer.
func (x *exchange) choose(name string, tried []*target) *target {
	var last *service
	for {
		s := x.p.table.find(name)
		if s == nil || s == last || s.shared != x.service.shared {
			// Taken out and not replaced, for the proxy is closing; or the name is
			// another service's now, whose rules were not applied.
			return nil
		}
		last, x.service = s, s
		t := s.pick(tried, x.req.Upgrade != "")
		if t == nil || slices.Contains(tried, t) {
			return nil
		}
		t.running.add()
		if !t.out.Load() {
			return t
		}
		// A deploy took it out between the two lines above; the table knows better now.
		t.running.done()
	}
}

// attempt makes one exchange with one target, to which it connects within that time. The errors that it returns all
// mean that the client was sent nothing; errClient alone says that the client's
// side is finished.
func (x *exchange) attempt(t *target, within time.Duration) error {
	if t.spec.H2C {
		return x.attemptH2(t)
	}
	if x.replay.begun() {
		return errDied // only a target of the same kind could have had the rest
	}
	body, whole := x.wholeBody()
	if limit := x.service.spec.Options.MaxBody; limit > 0 && int64(len(body)) > limit {
		return errTooBig // HTTP/2 need not say a length before
	}
	repeatable := whole && x.req.Idempotent()
	for fresh := false; ; fresh = true {
		if x.cut.gone() {
			return errDied // no reason to bother the target
		}
		began := time.Now()
		var c *upstream
		if !fresh {
			c = t.kept(began)
		}
		reused := c != nil
		var err error
		if !reused {
			if c, err = x.dial(t, within); err != nil {
				return errRefused
			}
			x.connect = time.Since(began)
			if x.cut.gone() {
				// Nothing was sent on it: a client that comes and goes shall not cost the
				// target a connection each time.
				t.put(c, time.Now())
				return errDied
			}
		}
		err = x.roundTrip(c, body, whole, began)
		if err == errDied && reused {
			err = errStale
		}
		if err == errStale && repeatable && !x.cut.gone() {
			continue
		}
		if err == errStale {
			err = errDied
		}
		return err
	}
}

// dial connects to the target, for as long as the client is there: an eye is kept on it
// once that takes longer than most take.
func (x *exchange) dial(t *target, within time.Duration) (*upstream, error) {
	ctx, cancel := context.WithCancel(t.serving)
	defer cancel()
	x.cut.set(closer(func() { cancel() }))
	defer x.cut.set(nil)
	c, err := t.connect(ctx, min(patience, within))
	if err == nil || !isTimeout(err) || within <= patience {
		return c, err
	}
	x.watchClient()
	defer x.unwatch()
	return t.connect(ctx, within-patience)
}

// wholeBody returns the body if it is at hand, or none.
func (x *exchange) wholeBody() ([]byte, bool) {
	if x.body == nil {
		return nil, true
	}
	return x.body.Whole(wholeLimit)
}

// roundTrip writes the request to c and forwards the answer.
func (x *exchange) roundTrip(c *upstream, body []byte, whole bool, now time.Time) error {
	s := x.service
	returned := false
	defer func() {
		if !returned { // a panic
			c.target.abandon(c)
		}
	}()
	x.cut.set(c)
	x.out.b = x.appendRequest(x.out.b[:0], c.target, whole, body)
	c.idle = s.idleTimeout
	if _, err := c.writeAt(now, x.out.b); err != nil {
		x.cut.set(nil)
		c.target.discard(c)
		returned = true
		return errDied
	}
	var up *upload
	if whole {
		x.in = int64(len(body))
		c.read.arm(c.SetReadDeadline, now, x.firstWait(s.responseTimeout))
	} else {
		up = x.startUpload(c)
	}
	err := x.answer(c, up, now)
	x.unwatch()
	if up != nil {
		finished, upErr := up.stop()
		x.in = up.total
		if err != nil && err != errClient {
			// What the client did wrong explains why the target did not answer.
			switch upErr {
			case message.ErrBadFraming, errTooBig:
				err = upErr
			case errClient:
				x.fault, x.status, err = "client-gone", 499, errClient
			}
		} else if !finished {
			x.fault = or(x.fault, "early-answer")
			c.body.Done = false
		}
	}
	x.cut.set(nil)
	returned = true
	if err == nil && c.reusable(&x.res) {
		c.target.put(c, now)
		return nil
	}
	c.target.discard(c)
	return err
}

// reusable tells whether the next request may use c after the answer h. A 204 has no body
// (RFC 9110 15.3.5); whoever gives it a length may send one after all.
func (c *upstream) reusable(h *message.Head) bool {
	if h.Status == 204 && (h.Chunked || h.Length > 0) {
		return false
	}
	return c.body.Done && c.body.Framing != message.ByClose && !h.Close && (h.Minor == 1 || h.KeepAlive) && c.rd.R == c.rd.W
}

// answer reads the answer and hands it to the client as it comes.
func (x *exchange) answer(c *upstream, up *upload, began time.Time) error {
	h := &x.res
	for {
		data, err := c.rd.Head(maxAnswerHead)
		if err != nil {
			if x.overdue(c, up, err, up.waiting(began), x.service.responseTimeout) {
				continue
			}
			return x.readError(err)
		}
		if err := h.ParseResponse(data); err != nil {
			return err
		}
		if h.Status >= 200 {
			break
		}
		if h.Status == 101 {
			return x.upgraded(c)
		}
		// 100 is between the proxy and the target: the proxy has seen to the
		// client's Expect itself.
		if h.Status != 100 && x.req.Minor == 1 {
			if err := x.client.inform(h); err != nil {
				return errClient
			}
		}
		h.Reset()
	}
	x.first = time.Since(x.start)
	x.early = up.answering()
	bodyless := x.req.Method == "HEAD" || h.Status == 204 || h.Status == 304
	length := h.Length
	switch {
	case bodyless:
		c.body.Start(&c.rd, message.NoBody, 0)
	case h.Chunked:
		c.body.Start(&c.rd, message.ByChunks, 0)
	case h.Length >= 0:
		c.body.Start(&c.rd, message.ByLength, h.Length)
	default:
		c.body.Start(&c.rd, message.ByClose, 0)
	}
	x.status = h.Status
	addDate(h)
	if err := x.client.begin(x, h, length, bodyless); err != nil {
		x.fault = "client-gone"
		return errClient
	}
	return x.stream(c, up)
}

// maxAnswerHead bounds a target's response head, in bytes.
const maxAnswerHead = 256 << 10

func (x *exchange) readError(err error) error {
	switch {
	case err == message.ErrHeadTooLarge:
		return message.ErrBadAnswer
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errTimeout
	}
	return errDied
}

// stream copies the body, flushing whenever the target has no more to say for
// now. After the first byte a failure can only break the answer off.
func (x *exchange) stream(c *upstream, up *upload) error {
	b := &c.body
	var since time.Time
	idle := x.service.idleTimeout
	for !b.Done {
		if !b.Ready() {
			if err := x.client.flush(); err != nil {
				x.fault = "client-gone"
				return errClient
			}
			since = time.Now()
			c.read.arm(c.SetReadDeadline, since, x.firstWait(idle))
		}
		space, err := x.client.space()
		if err != nil {
			x.fault = "client-gone"
			return errClient
		}
		n, err := b.Read(space)
		for n == 0 && err != nil && x.overdue(c, up, err, since, idle) {
			n, err = b.Read(space)
		}
		x.bytes += int64(n)
		if n > 0 {
			if err := x.client.wrote(n); err != nil {
				x.fault = "client-gone"
				return errClient
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			switch {
			case x.cut.gone():
				x.fault = "client-gone" // and its target's connection was closed for that
			case x.readError(err) == errTimeout:
				x.fault = "target-stalled"
			default:
				x.fault = "target-died"
			}
			x.client.abort()
			return errClient
		}
	}
	if err := x.client.end(b.Trailers); err != nil {
		x.fault = "client-gone"
		return errClient
	}
	return nil
}

var _ net.Conn = (*upstream)(nil)
