package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// headOnly answers each request once its head is there, and never reads a body.
func headOnly(t *testing.T, answer string) string {
	return rawApp(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		io.WriteString(c, answer)
		c.Read(make([]byte, 1)) // until the proxy is done with it
		io.Copy(io.Discard, c)
	})
}

// A client that waits for 100 Continue gets it before the final answer or not at all.
func TestNoContinueAfterTheFinalAnswer(t *testing.T) {
	s := start(t)
	service := shop(headOnly(t, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
	service.Options.PlainHTTP = true
	s.deploy(service)
	for i := range 400 {
		c := s.dialPlain()
		c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		r := bufio.NewReader(c)
		res, err := http.ReadResponse(r, nil)
		for err == nil && res.StatusCode == 100 {
			res, err = http.ReadResponse(r, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != 403 || string(body) != "no" || !res.Close {
			t.Errorf("request %d: %d %q, close %v", i, res.StatusCode, body, res.Close)
		}
		if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
			t.Fatalf("request %d: behind the answer: %q, %v", i, rest, err)
		}
		c.Close()
	}
}

// An answer that came before the body was read says that the connection ends, and it
// can be read even so. One that came after it says nothing such.
func TestEarlyAnswersSayThatTheConnectionEnds(t *testing.T) {
	s := start(t)
	service := shop(headOnly(t, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
	service.Options.PlainHTTP = true
	s.deploy(service)
	for _, framing := range []string{"Content-Length: 100000\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"} {
		c := s.dialPlain()
		c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\n"+framing)
		r := bufio.NewReader(c)
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != 403 || string(body) != "no" || !res.Close {
			t.Errorf("%.20q: %d %q, close %v", framing, res.StatusCode, body, res.Close)
		}
		if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
			t.Errorf("%.20q: then %q, %v", framing, rest, err)
		}
	}
	service = shop(addr(app(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })))
	service.Options.PlainHTTP = true
	s.deploy(service)
	c := s.dialPlain()
	c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(c)
	for i := range 50 {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 3 {
			io.WriteString(c, "8000\r\n"+strings.Repeat("x", 0x8000)+"\r\n")
		}
		io.WriteString(c, "0\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.Close {
			t.Fatalf("whole upload %d: %v %v", i, res, err)
		}
		io.Copy(io.Discard, res.Body)
	}
}
