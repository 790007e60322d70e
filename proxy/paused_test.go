package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// A request whose client is gone does not wait for the end of a pause, where it would
// take another's place.
func TestPausedRequestsOfClientsThatAreGone(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"
	const upload = "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 100000\r\n\r\n"
	for name, leave := range map[string]func(s *stand) (ask, end func()){
		"HTTP/1.1":            func(s *stand) (ask, end func()) { return leave1(s.dialPlain(), request) },
		"HTTP/1.1 with TLS":   func(s *stand) (ask, end func()) { return leave1(s.dialTLS(), request) },
		"HTTP/1.1, uploading": func(s *stand) (ask, end func()) { return leave1(s.dialPlain(), upload) },
		"HTTP/2": func(s *stand) (ask, end func()) {
			c := s.dialH2()
			c.get(1)
			c.outcome(1)
			return func() { c.get(3) }, func() { c.Close() }
		},
		"HTTP/2, one stream": func(s *stand) (ask, end func()) {
			c := s.dialH2()
			c.get(1)
			c.outcome(1)
			return func() { c.get(3) }, func() { c.framer.WriteRSTStream(3, http2.ErrCodeCancel) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.deploy(plainShop(addr(app(t, says("ok")))))
			ask, end := leave(s)
			if err := s.Pause(context.Background(), "shop", time.Hour); err != nil {
				t.Fatal(err)
			}
			ask()
			end()
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if err := s.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// leave1 makes one request on c; ask makes another and end closes c.
func leave1(c net.Conn, request string) (ask, end func()) {
	io.WriteString(c, "HEAD / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	for r := bufio.NewReader(c); ; {
		if line, err := r.ReadString('\n'); err != nil || line == "\r\n" {
			break
		}
	}
	return func() { io.WriteString(c, request) }, func() { c.Close() }
}

// A request is treated by the rules as they are when a pause ends, and not by those of
// before it; nor does it reach another service's app that has its name by then.
func TestRulesThatChangedDuringAPauseHold(t *testing.T) {
	for name, change := range map[string]func(s *stand, a string){
		"tightened": func(s *stand, a string) {
			closed := shop(a)
			closed.Options.AllowFrom = []string{"192.0.2.1"}
			s.deploy(closed)
		},
		"moved": func(s *stand, a string) {
			other := shop(a)
			other.Hosts = []string{"other.localhost"}
			s.deploy(other)
			closed := service("closed", a, "shop.localhost")
			closed.Options.AllowFrom = []string{"192.0.2.1"}
			s.deploy(closed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			a := addr(app(t, func(_ http.ResponseWriter, r *http.Request) {
				if r.Method == "POST" {
					asked.Add(1)
				}
			}))
			s := start(t)
			s.deploy(plainShop(a))
			if err := s.Pause(t.Context(), "shop", time.Hour); err != nil {
				t.Fatal(err)
			}
			c := s.dialPlain()
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 0\r\n\r\n")
			time.Sleep(300 * time.Millisecond) // nothing tells that it waits
			change(s, a)
			if err := s.Resume(t.Context(), "shop"); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if asked.Load() != 0 || res.StatusCode == 200 {
				t.Errorf("got %s, and the app was asked %d times", res.Status, asked.Load())
			}
		})
	}
}
