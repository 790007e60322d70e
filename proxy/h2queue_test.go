package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// What a client asks for and does not read is not queued without end, though no window
// bounds heads: neither those of answers nor those of interim ones.
func TestHTTP2HeadsThatNobodyReads(t *testing.T) {
	long := strings.Repeat("x", 60<<10)
	t.Run("of answers", func(t *testing.T) {
		const requests = 1000
		seen := make(chan bool, requests)
		s := start(t)
		s.deploy(shop(addr(app(t, forVisitors(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Long", long)
			seen <- true
		})))))
		c := s.dialH2()
		for i := range uint32(requests) {
			if c.get(2*i+1, [2]string{":method!", "HEAD"}) != nil {
				return
			}
			select {
			case <-seen:
			case <-time.After(3 * time.Second):
				return
			}
		}
		t.Errorf("%d heads of 60 KB were taken from the app", requests)
	})
	t.Run("of interim answers", func(t *testing.T) {
		const most = 100 << 20
		var sent atomic.Int64
		ended := make(chan bool, 2)
		s := start(t)
		s.deploy(shop(rawApp(t, func(c net.Conn, r *bufio.Reader) {
			if req, err := http.ReadRequest(r); err != nil || req.Header.Get("X-Forwarded-For") == "" {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				return
			}
			hint := fmt.Sprintf("HTTP/1.1 103 Early Hints\r\nX-Long: %s\r\n\r\n", long)
			for sent.Load() < most {
				c.SetWriteDeadline(time.Now().Add(3 * time.Second))
				if _, err := io.WriteString(c, hint); err != nil {
					break
				}
				sent.Add(int64(len(hint)))
			}
			ended <- true
		})))
		c := s.dialH2()
		c.get(1) // whose handler writes and waits
		c.get(3)
		<-ended
		<-ended
		if sent.Load() >= most {
			t.Errorf("%d MB of interim answers were taken from the app", most>>20)
		}
	})
}

// Trailers are held with their stream, so that they have a bound of their own.
func TestHTTP2TrailersAreBounded(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, forVisitors(echoBody)))))
	c := s.dialH2()
	c.open(1)
	var b bytes.Buffer
	hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: "x-long", Value: strings.Repeat("~", 17<<10)})
	c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b.Bytes()[:16<<10], EndStream: true})
	c.framer.WriteContinuation(1, true, b.Bytes()[16<<10:])
	if got := c.outcome(1); got != "reset 1" {
		t.Errorf("got %s, want PROTOCOL_ERROR", got)
	}
}
