package proxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"towline/proxy/control"
)

// What an app can do wrong ends that call, with a status that says so, and nothing else.
func TestGRPCAppFaults(t *testing.T) {
	s := start(t)
	s.deploy(service("files", addr(app(t, echoBody)), "files.localhost"))
	good := s.newClient(true)
	ctx := aMinute(t)
	grpcHead := [][2]string{{"content-type", "application/grpc"}}
	for name, fault := range map[string]struct {
		app  func(c *h2Target, id uint32)
		want codes.Code
	}{
		"dies":                {func(c *h2Target, id uint32) {}, codes.Unavailable},
		"resets":              {func(c *h2Target, id uint32) { c.framer.WriteRSTStream(id, http2.ErrCodeInternal) }, codes.Unavailable},
		"refuses each stream": {func(c *h2Target, id uint32) { c.framer.WriteRSTStream(id, http2.ErrCodeRefusedStream) }, codes.Unavailable},
		"says good-bye":       {func(c *h2Target, id uint32) { c.framer.WriteGoAway(0, http2.ErrCodeNo, nil) }, codes.Unavailable},
		"says nothing":        {func(c *h2Target, id uint32) { io.Copy(io.Discard, c) }, codes.Unavailable},
		"dies midway": {func(c *h2Target, id uint32) {
			c.writeAnswer(id, false, "200", grpcHead)
			c.framer.WriteData(id, false, []byte{0, 0, 0, 0, 9, 'h'})
		}, codes.Internal},
		"resets midway": {func(c *h2Target, id uint32) {
			c.writeAnswer(id, false, "200", grpcHead)
			c.framer.WriteRSTStream(id, http2.ErrCodeInternal)
		}, codes.Internal},
		"cancels midway": {func(c *h2Target, id uint32) {
			c.writeAnswer(id, false, "200", grpcHead)
			c.framer.WriteRSTStream(id, http2.ErrCodeCancel)
		}, codes.Canceled},
		"stalls midway": {func(c *h2Target, id uint32) {
			c.writeAnswer(id, false, "200", grpcHead)
			io.Copy(io.Discard, c)
		}, codes.Internal},
		"another length": {func(c *h2Target, id uint32) {
			c.writeAnswer(id, false, "200", append(grpcHead, [2]string{"content-length", "50"}))
			c.framer.WriteData(id, true, []byte{0, 0, 0, 0, 1, 'x'})
		}, codes.Internal},
		"speaks HTTP/1.1": {func(c *h2Target, id uint32) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, codes.Unavailable},
		"rubbish frame":   {func(c *h2Target, id uint32) { c.framer.WriteRawFrame(http2.FrameSettings, 0, 1, []byte{1}) }, codes.Unavailable},
		"rubbish block": {func(c *h2Target, id uint32) {
			c.framer.WriteRawFrame(http2.FrameHeaders, 4, id, bytes.Repeat([]byte{0xff}, 9))
		}, codes.Unavailable},
		"data before head": {func(c *h2Target, id uint32) { c.framer.WriteData(id, true, []byte("x")) }, codes.Unavailable},
		"endless head": {func(c *h2Target, id uint32) {
			for i := 0; c.framer.WriteRawFrame(http2.FrameHeaders, 0, id, make([]byte, 16<<10)) == nil && i < 1000; i++ {
			}
		}, codes.Unavailable},
		"two heads": {func(c *h2Target, id uint32) {
			c.writeAnswer(id, false, "200", grpcHead)
			c.writeAnswer(id, false, "200", grpcHead)
		}, codes.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			sv := grpcShop(h2cApp(t, func(c *h2Target) {
				if id := c.request(); id != 0 {
					fault.app(c, id)
				}
			}))
			sv.Options.ResponseTimeout, sv.Options.IdleTimeout = 10*time.Second, 10*time.Second
			switch name {
			case "says nothing":
				sv.Options.ResponseTimeout = 100 * time.Millisecond
			case "stalls midway":
				sv.Options.IdleTimeout = 300 * time.Millisecond
			}
			s.deploy(sv)
			if _, err := grpcCall(ctx, s.dialGRPC(), "Unary", randomBytes(100)); status.Code(err) != fault.want {
				t.Errorf("got %v, want %v", err, fault.want)
			}
			if err := uploadTo(ctx, good, "https://files.localhost/", randomBytes(100_000)); err != nil {
				t.Errorf("another app: %v", err)
			}
		})
	}
}

// An app that says it did not process a request gets it again, or another app does,
// with all of its body.
func TestH2CRequestsNotProcessedAreSentAgain(t *testing.T) {
	for name, refuse := range map[string]func(c *h2Target, id uint32){
		"refused stream": func(c *h2Target, id uint32) { c.framer.WriteRSTStream(id, http2.ErrCodeRefusedStream) },
		"good-bye":       func(c *h2Target, id uint32) { c.framer.WriteGoAway(0, http2.ErrCodeNo, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			var refused, bytes atomic.Int64
			s.deploy(grpcShop(h2cApp(t, func(c *h2Target) {
				for id := c.request(); id != 0; id = c.request() {
					n := int64(0)
					for ended := false; !ended; {
						f, err := c.framer.ReadFrame()
						if err != nil {
							return
						}
						if d, ok := f.(*http2.DataFrame); ok {
							n += int64(d.Length)
							if d.Length > 0 {
								c.framer.WriteWindowUpdate(0, d.Length)
							}
							ended = d.StreamEnded()
						}
					}
					if refused.Add(1) == 1 {
						refuse(c, id)
						continue
					}
					bytes.Store(n)
					c.writeAnswer(id, true, "200", nil)
				}
			})))
			r := request(t, "POST", shopURL, io.NopCloser(strings.NewReader(strings.Repeat("x", 50_000))))
			got := s.doWith(s.newClient(true), r)
			if got.StatusCode != 200 || bytes.Load() != 50_000 || refused.Load() != 2 {
				t.Errorf("status %d, %d bytes, asked %d times", got.StatusCode, bytes.Load(), refused.Load())
			}
		})
	}
}

func TestH2CMaxBody(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		a := h2cServer(t, func(w http.ResponseWriter, r *http.Request) {
			if body, err := io.ReadAll(r.Body); err == nil {
				w.Write(body)
			}
		})
		sv := grpcShop(a)
		sv.Options.MaxBody = 70_000
		s.deploy(sv)
		for size, want := range map[int]int{69_999: 200, 70_000: 200, 70_001: 413} {
			for _, body := range []io.Reader{bytes.NewReader(make([]byte, size)), io.NopCloser(bytes.NewReader(make([]byte, size)))} {
				got := s.doWith(c, request(t, "POST", shopURL, body))
				if got.StatusCode != want || want == 200 && len(got.body) != size {
					t.Errorf("%d bytes: status %d, %d came back", size, got.StatusCode, len(got.body))
				}
			}
		}
	})
}

// healthApp is a gRPC server with a health service.
func healthApp(t testing.TB, h grpc_health_v1.HealthServer) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(s, h)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// h2cServer is an app that speaks HTTP/2 by net/http.
func h2cServer(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Protocols: new(http.Protocols), Handler: h}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// The app sees the request as the client wrote it.
func TestH2CTargetsAsWritten(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		s.deploy(grpcShop(h2cServer(t, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, r.Proto+" "+r.Method+" "+r.Host+" "+r.RequestURI)
		})))
		for _, path := range []string{"/", "/a%2Fb/%41?x=%20&y", "//double//", "/?", "/a;b=c,d"} {
			if got := s.doWith(c, request(t, "GET", shopURL+path[1:], nil)); got.body != "HTTP/2.0 GET shop.localhost "+path {
				t.Errorf("%s: %s", path, got.body)
			}
		}
	})
}

func TestH2CAppIsReady(t *testing.T) {
	s := start(t)
	ready := func(sv control.Service) error {
		sv.Health.Deadline = 300 * time.Millisecond
		if sv.Health.Path == "slow" {
			sv.Health.Path, sv.Health.Deadline = "", time.Minute
		}
		return s.Deploy(aMinute(t), sv)
	}
	with := func(a string, path string) control.Service {
		sv := grpcShop(a)
		sv.Health.Path = path
		return sv
	}
	// Any answer will do, as elsewhere: no health service, a page, a reset.
	page := h2cServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" && r.URL.Path == "/up" {
			w.WriteHeader(204)
		} else {
			w.WriteHeader(500)
		}
	})
	resets := h2cApp(t, func(c *h2Target) {
		for {
			f, err := c.framer.ReadFrame()
			if err != nil {
				return
			}
			if h, ok := f.(*http2.MetaHeadersFrame); ok {
				c.framer.WriteRSTStream(h.StreamID, http2.ErrCodeProtocol)
			}
		}
	})
	for _, sv := range []control.Service{with(grpcServer(t).address, "slow"), with(page, "slow"), with(resets, "slow")} {
		if err := ready(sv); err != nil {
			t.Error(err)
		}
	}
	sv := with(page, "/up")
	sv.Health.Deadline = time.Minute
	if err := s.Deploy(aMinute(t), sv); err != nil {
		t.Error(err)
	}
	// Not ready: the app says so, or speaks HTTP/1.1.
	notServing := health.NewServer()
	notServing.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	serving := healthApp(t, notServing)
	var notReady *control.NotReady
	until(t, "a probe is answered in time", func() bool {
		return errors.As(ready(with(serving, "")), &notReady) && strings.HasSuffix(notReady.Reason, "answered NOT_SERVING")
	})
	notServing.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	if err := ready(with(serving, "slow")); err != nil {
		t.Errorf("serving: %v", err)
	}
	if err := ready(with(addr(app(t, says("ok"))), "")); !errors.As(err, &notReady) {
		t.Errorf("HTTP/1.1: %v", err)
	}
	plain := with(grpcServer(t).address, "")
	plain.Targets[0].H2C = false
	until(t, "a probe is answered in time", func() bool {
		return errors.As(ready(plain), &notReady) && strings.Contains(notReady.Reason, `{"protocol": {"web": "h2c"}}`)
	})
	until(t, "a probe is answered in time", func() bool {
		return errors.As(ready(with(page, "/other")), &notReady) && notReady.Reason == "GET /other answered 500"
	})
}
