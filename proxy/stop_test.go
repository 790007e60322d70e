package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// A client that sends its next request while the proxy stops loses nothing: it gets its
// answer, and is told that the connection ends.
func TestKeptConnectionsGetOneMoreAnswer(t *testing.T) {
	s := start(t)
	s.deploy(plainShop(addr(app(t, says("ok")))))
	ask := func(c net.Conn, r *bufio.Reader) (*http.Response, string) {
		c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 0\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		return res, string(body)
	}
	kept := []net.Conn{s.dialPlain(), s.dialTLS()}
	var readers []*bufio.Reader
	for _, c := range kept {
		r := bufio.NewReader(c)
		if res, body := ask(c, r); body != "ok" || res.Close {
			t.Fatalf("before: %d %q, close %v", res.StatusCode, body, res.Close)
		}
		readers = append(readers, r)
	}
	stopped, began := make(chan error, 1), time.Now()
	go func() { stopped <- s.Shutdown(context.Background()) }()
	until(t, "the proxy stops", s.Stopping)
	if time.Since(began) > 700*time.Millisecond {
		t.Skip("this machine is too busy to ask within the second that they have")
	}
	for i, c := range kept {
		if res, body := ask(c, readers[i]); body != "ok" || !res.Close {
			t.Errorf("while stopping: %d %q, close %v", res.StatusCode, body, res.Close)
		}
		if rest, err := io.ReadAll(readers[i]); err != nil || len(rest) > 0 {
			t.Errorf("then: %q, %v", rest, err)
		}
		c.Close()
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
