package proxy_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
)

// A client that takes back at once what it asks costs the app no connection each time:
// its queue of connections would overflow, and nobody else get in.
func TestResetsCostNoConnectionsToTheApp(t *testing.T) {
	const resets, most = 150, 40
	s := start(t)
	var made atomic.Int64
	a := httptest.NewUnstartedServer(says("ok"))
	a.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			made.Add(1)
		}
	}
	a.Start()
	t.Cleanup(a.Close)
	s.deploy(shop(addr(a)))
	before := made.Load()
	c := s.dialH2()
	var b bytes.Buffer
	f := http2.NewFramer(&b, nil)
	for i := range uint32(resets) {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: headers(nil), EndStream: true, EndHeaders: true})
		f.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
	}
	if _, err := io.Copy(c.Conn, &b); err != nil {
		t.Fatal(err)
	}
	c.get(2*resets + 1)
	if got := c.outcome(2*resets + 1); got != "status 200" {
		t.Fatal(got)
	}
	until(t, "the streams end", func() bool { return s.inFlight() == 0 })
	if n := made.Load() - before; n > most {
		t.Errorf("%d streams that were reset at once: %d connections to the app, at most %d are right", resets, n, most)
	} else {
		t.Logf("%d connections", n)
	}
}
