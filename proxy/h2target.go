package proxy

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"towline/proxy/message"
)

// Bounds of what is exchanged with a target that speaks HTTP/2.
const (
	h2TargetWindow = 256 << 10 // bytes of one answer that may be under way
	h2TargetIdle   = time.Minute
	h2TargetTries  = 3 // of one request: more only when the target says it did not process it
	h2TargetHints  = 8 // interim answers that wait for the client
)

// h2Pool holds the connections to a target that speaks HTTP/2 without TLS.
// Such targets serve gRPC, whose streams are long: net/http's transport does
// for them what our own path does for plain requests. It belongs to its target
// and ends with it.
type h2Pool struct {
	http.Transport
	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

// close ends all connections, with what is under way on them.
func (p *h2Pool) close() {
	p.CloseIdleConnections()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for c := range p.open {
		_ = c.Close()
	}
	clear(p.open)
}

// admit notes a new connection, unless the pool was closed while it was made.
func (p *h2Pool) admit(c net.Conn) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	p.open[c] = struct{}{}
	return pooledConn{c, p}, nil
}

// pooledConn leaves its pool when it is closed.
type pooledConn struct {
	net.Conn
	pool *h2Pool
}

func (c pooledConn) Close() error {
	c.pool.mu.Lock()
	delete(c.pool.open, c.Conn)
	c.pool.mu.Unlock()
	return c.Conn.Close()
}

// pool returns the target's pool, making one.
func (t *target) pool() *h2Pool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.h2 != nil {
		return t.h2
	}
	p := &h2Pool{open: map[net.Conn]struct{}{}}
	p.Transport = http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			// The transport goes on with it for others when the request has ended.
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(t.serving, cancel)()
			c, err := t.dial(ctx)
			if err != nil {
				return nil, err
			}
			return p.admit(c)
		},
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswerHead,
		IdleConnTimeout:        h2TargetIdle,
		Protocols:              new(http.Protocols),
		// No pings: gRPC servers end a connection that is pinged often.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: h2TargetWindow},
	}
	p.Protocols.SetUnencryptedHTTP2(true)
	t.h2 = p
	return p
}

// attemptH2 is attempt for such a target; its errors mean the same.
func (x *exchange) attemptH2(t *target) error {
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	x.cut.set(closer(func() { cancel(errClient) }))
	defer x.cut.set(nil)
	defer x.unwatch()
	body := x.replay
	if body == nil {
		body = x.newReplay()
	}
	watch := body.watch
	watch.start(func() { cancel(errTimeout) }, body.src != nil)
	defer watch.pause()
	res, err := x.h2Ask(ctx, cancel, t, body)
	if err == errRefused && !body.gone() {
		x.replay = body // for the next target
		return err
	}
	if err == nil {
		x.first = time.Since(x.start)
		body.answering()
		watch.answering()
		err = x.h2Answer(ctx, res, watch)
		_ = res.Body.Close()
	}
	cancel(nil)
	x.replay = nil
	finished, bodyErr := body.stop()
	x.in = body.total()
	switch {
	case err == nil && !finished && x.protocol == "h1":
		// What is left of the body stands before the next request.
		x.fault = or(x.fault, "early-answer")
		return errClient
	case err == nil || bodyErr == nil:
		return err
	case err != errClient && errors.Is(bodyErr, message.ErrBadFraming):
		// What the client did wrong explains why there is no answer.
		return message.ErrBadFraming
	case err != errClient && bodyErr == errTooBig:
		return errTooBig
	case bodyErr == errTooBig:
		x.fault = "body-too-large"
	default:
		x.fault = "client-gone"
	}
	return errClient
}

type closer func()

func (f closer) Close() error { f(); return nil }

// h2Ask sends the request and waits for the answer's head. Interim answers go
// to the client meanwhile.
func (x *exchange) h2Ask(ctx context.Context, cancel context.CancelCauseFunc, t *target, body *replay) (*http.Response, error) {
	type outcome struct {
		res     *http.Response
		err     error
		connect time.Duration
	}
	var out outcome
	done := make(chan struct{})
	hints := make(chan *message.Head, h2TargetHints)
	began, tries := time.Now(), 0
	r := x.h2Request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			if !i.Reused {
				out.connect = time.Since(began)
			}
			if tries++; tries > h2TargetTries {
				cancel(errDied)
			}
		},
		Got1xxResponse: func(code int, fields textproto.MIMEHeader) error {
			switch code {
			case 100:
				return nil // the proxy has seen to the client's Expect itself
			case 101:
				return message.ErrBadAnswer // HTTP/2 has none (RFC 9113, 8.6)
			}
			h := &message.Head{Status: code}
			h.AddFields(http.Header(fields))
			select {
			case hints <- h:
			default:
			}
			return nil
		},
	}), t, body)
	go func() {
		defer close(done)
		out.err = errDied
		defer x.p.guard("request to a target", nil)
		out.res, out.err = t.pool().RoundTrip(r)
	}()
	eye := time.NewTimer(patience)
	defer eye.Stop()
	for {
		select {
		case h := <-hints:
			if x.req.Minor == 1 && x.client.inform(h) != nil {
				cancel(errClient)
			}
			continue
		case <-eye.C:
			// While the body comes, whoever reads it sees the client's end.
			if body.src == nil || body.ended.Load() {
				x.watchClient()
			} else {
				eye.Reset(patience)
			}
			continue
		case <-done:
		}
		break
	}
	x.connect = out.connect
	if out.err != nil {
		return nil, x.h2Error(ctx, out.err)
	}
	return out.res, nil
}

func (x *exchange) h2Request(ctx context.Context, t *target, body *replay) *http.Request {
	// The transport may still look at them when the exchange has ended and the client's
	// buffer, in which they lie, is another's.
	method, host := strings.Clone(x.req.Method), strings.Clone(or(x.req.Host, t.spec.Address))
	// Opaque keeps the target as the client wrote it.
	u := &url.URL{Scheme: "http", Host: t.spec.Address, Opaque: "//" + host + x.req.Target}
	r := (&http.Request{Method: method, URL: u, Host: host, Header: http.Header{}}).WithContext(ctx)
	// The same fields as for HTTP/1.1, read back from what would be written.
	text := string(x.appendRequest(x.out.b[:0], t, false, nil))
	for line := range strings.SplitSeq(text[strings.Index(text, "\r\n")+2:], "\r\n") {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			continue
		}
		switch message.KindOf(name) {
		case message.KindHost, message.KindConnection, message.KindTransferEncoding, message.KindContentLength, message.KindUpgrade, message.KindTrailer:
		default:
			r.Header.Add(name, value)
		}
	}
	if r.Header.Get("User-Agent") == "" {
		r.Header["User-Agent"] = nil
	}
	if body.src != nil {
		r.ContentLength = x.req.Length
		r.Body, r.GetBody = &replayReader{b: body}, body.again
	}
	return r
}

func (x *exchange) h2Error(ctx context.Context, err error) error {
	var op *net.OpError
	switch cause := context.Cause(ctx); {
	case cause == errTimeout:
		return errTimeout
	case cause == errClient:
		return x.vanished()
	case errors.As(err, &op) && op.Op == "dial":
		return errRefused
	case errors.Is(err, message.ErrBadAnswer):
		return message.ErrBadAnswer
	}
	return errDied
}

// h2Answer hands the answer on, each part as it comes.
func (x *exchange) h2Answer(ctx context.Context, res *http.Response, watch *watch) error {
	if res.StatusCode < 200 || res.StatusCode > 599 { // net/http takes any number
		return message.ErrBadAnswer
	}
	h := &x.res
	h.Reset()
	h.Status, h.Minor = res.StatusCode, 1
	h.AddFields(res.Header)
	x.status = h.Status
	bodyless := x.req.Method == "HEAD" || h.Status == 204 || h.Status == 304
	gone := func(err error) error {
		if err != nil {
			x.fault = "client-gone"
			return errClient
		}
		return nil
	}
	length := res.ContentLength
	// net/http says 0, and the head nothing, when that ended the stream, as gRPC's
	// errors do.
	allHead := length == 0 && res.Header.Get("Content-Length") == ""
	if allHead && x.protocol == "h2" {
		length = -1
	}
	if err := x.client.begin(x, h, length, bodyless); err != nil {
		return gone(err)
	}
	for !bodyless && !allHead {
		// How long the client takes to read is bounded elsewhere.
		watch.pause()
		if err := x.client.flush(); err != nil {
			return gone(err)
		}
		space, err := x.client.space()
		if err != nil {
			return gone(err)
		}
		watch.moved()
		n, err := res.Body.Read(space)
		x.bytes += int64(n)
		if n > 0 {
			if err := x.client.wrote(n); err != nil {
				return gone(err)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			switch context.Cause(ctx) {
			case errClient:
				return gone(err)
			case errTimeout:
				x.fault = "target-stalled"
			default:
				x.fault = "target-died"
				var reset streamReset
				if errors.As(err, &reset) {
					x.broken = reset.Code
				}
			}
			x.client.abort()
			return errClient
		}
	}
	watch.pause()
	var trailers []message.Field
	for _, name := range slices.Sorted(maps.Keys(res.Trailer)) {
		for _, v := range res.Trailer[name] {
			if message.All(name, &message.TokenChar) && message.All(v, &message.ValueChar) && message.KindOf(name) == message.KindPlain {
				trailers = append(trailers, message.Field{Name: name, Value: v})
			}
		}
	}
	return gone(x.client.end(trailers))
}

// watch ends an exchange with a target that speaks HTTP/2 when nothing moves.
// While the client sends, its pace counts; then the target has the response
// timeout to begin its answer; then the idle timeout counts from the last byte
// in either direction.
type watch struct {
	response, idle time.Duration

	mu       sync.Mutex
	timer    *time.Timer
	answered bool
	paused   bool
}

// start begins to watch. sending tells whether the client has more to send.
func (w *watch) start(expired func(), sending bool) {
	w.set(func() {
		w.paused = false
		if w.timer != nil {
			w.timer.Stop()
		}
		first := w.response
		if sending {
			first = w.idle
		}
		w.timer = time.AfterFunc(first, expired)
	})
}

func (w *watch) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// moved notes that a byte did.
func (w *watch) moved() {
	w.set(func() {
		w.paused = false
		w.timer.Reset(w.idle)
	})
}

// uploaded notes that the client sent something.
func (w *watch) uploaded() {
	w.set(func() {
		if !w.paused {
			w.timer.Reset(w.idle)
		}
	})
}

// asked notes that the request has ended.
func (w *watch) asked() {
	w.set(func() {
		if !w.answered {
			w.timer.Reset(w.response)
		}
	})
}

// answering notes that the answer has begun.
func (w *watch) answering() {
	w.set(func() {
		w.answered = true
		w.timer.Reset(w.idle)
	})
}

// pause stops the clock until the next moved.
func (w *watch) pause() {
	w.set(func() {
		w.paused = true
		w.timer.Stop()
	})
}
