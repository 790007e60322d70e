package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
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
