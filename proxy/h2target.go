package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"time"
	"towline/proxy/message"
)

// h2Pool holds the connections to a target that speaks HTTP/2 without TLS.
// Such targets serve gRPC, whose streams are long: net/http's transport does
// for them what our own path does for plain requests.
type h2Pool struct{ http.Transport }

func (p *h2Pool) close() { p.CloseIdleConnections() }

// pool returns the target's pool, making one.
func (t *target) pool() *h2Pool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.h2 == nil {
		t.h2 = &h2Pool{http.Transport{
			DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return t.dial(ctx) },
			DisableCompression: true,
			Protocols:          new(http.Protocols),
		}}
		t.h2.Protocols.SetUnencryptedHTTP2(true)
	}
	return t.h2
}

// attemptH2 is attempt for such a target; its errors mean the same.
func (x *exchange) attemptH2(t *target) error {
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	x.cut.set(closer(func() { cancel(errClient) }))
	defer x.cut.set(nil)
	answered := time.AfterFunc(x.service.responseTimeout, func() { cancel(errTimeout) })
	defer answered.Stop()
	began := time.Now()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			if !i.Reused {
				x.connect = time.Since(began)
			}
		},
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == 100 {
				return nil
			}
			x.res.Reset()
			x.res.Status = code
			x.res.AddFields(http.Header(h))
			return x.client.inform(&x.res)
		},
	})
	r := x.h2Request(ctx, t)
	res, err := t.pool().RoundTrip(r)
	answered.Stop()
	if err != nil {
		return x.h2Error(ctx, err)
	}
	defer res.Body.Close()
	err = x.h2Answer(res, func() { cancel(errTimeout) })
	if x.body != nil && err == nil {
		// The answer is complete, and with it the exchange, whatever the client
		// still had to say.
		x.body.Cancel()
	}
	return err
}

type closer func()

func (f closer) Close() error { f(); return nil }

func (x *exchange) h2Request(ctx context.Context, t *target) *http.Request {
	u, err := url.ParseRequestURI(x.req.Target)
	if err != nil {
		u = &url.URL{Path: "/"} // such as "*"; no gRPC method is called that
	}
	u.Scheme, u.Host = "http", t.spec.Address
	r := (&http.Request{Method: x.req.Method, URL: u, Host: or(x.req.Host, t.spec.Address), Header: http.Header{}}).WithContext(ctx)
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
	if x.body != nil {
		r.ContentLength = x.req.Length
		r.Body = io.NopCloser(&limited{x.body, x.service.spec.Options.MaxBody})
	}
	return r
}

// limited fails once more than max bytes were read; 0 is no limit.
type limited struct {
	io.Reader
	max int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if l.max > 0 {
		if l.max -= int64(n); l.max <= 0 && err == nil {
			return n, errTooBig
		}
	}
	return n, err
}

func (x *exchange) h2Error(ctx context.Context, err error) error {
	var op *net.OpError
	switch cause := context.Cause(ctx); {
	case cause == errTimeout:
		return errTimeout
	case cause == errClient:
		x.fault = "client-gone"
		return errClient
	case errors.As(err, &op) && op.Op == "dial":
		return errRefused
	case errors.Is(err, errTooBig):
		return errTooBig
	case errors.Is(err, message.ErrBadFraming):
		return message.ErrBadFraming
	}
	return errDied
}

// h2Answer hands the answer on, each part as it comes.
func (x *exchange) h2Answer(res *http.Response, stall func()) error {
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
	if err := x.client.begin(x, h, res.ContentLength, bodyless); err != nil {
		return gone(err)
	}
	stalled := time.AfterFunc(time.Hour, stall)
	defer stalled.Stop()
	for !bodyless {
		if err := x.client.flush(); err != nil {
			return gone(err)
		}
		space, err := x.client.space()
		if err != nil {
			return gone(err)
		}
		stalled.Reset(x.service.idleTimeout)
		n, err := res.Body.Read(space)
		stalled.Stop()
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
			x.fault = "target-died"
			x.client.abort()
			return errClient
		}
	}
	var trailers []message.Field
	for name, values := range res.Trailer {
		for _, v := range values {
			if message.All(name, &message.TokenChar) && message.All(v, &message.ValueChar) && message.KindOf(name) == message.KindPlain {
				trailers = append(trailers, message.Field{Name: name, Value: v})
			}
		}
	}
	return gone(x.client.end(trailers))
}
