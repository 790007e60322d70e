package proxy_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"towline/proxy"
)

// At the bound of connections, those that wait for a request make room, the oldest first;
// those at work stay, and what is too much is closed at once.
func TestConnectionsAreBounded(t *testing.T) {
	const most = 8
	s := start(t, func(o *proxy.Options) { o.Connections = most })
	a, target := newThinking(t)
	s.deploy(patientShop(target))
	ask := func(c net.Conn, path string) {
		io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	}
	answer := func(c net.Conn) string {
		c.SetReadDeadline(time.Now().Add(time.Minute))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err.Error()
		}
		b, _ := io.ReadAll(res.Body)
		return string(b)
	}
	ended := func(c net.Conn) bool { // until its read deadline
		_, err := c.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	}
	busy := []net.Conn{s.dialPlain(), s.dialPlain()}
	for _, c := range busy {
		ask(c, "/slow")
		<-a.entered
	}
	var idle []net.Conn
	for len(idle) < most-len(busy) {
		c := s.dialPlain()
		ask(c, "/")
		if got := answer(c); got != "ok" {
			t.Fatal(got)
		}
		idle = append(idle, c)
		// The client has its answer before the proxy waits for more: the next is younger only then.
		until(t, "the connection rests", func() bool { return s.Resting() == len(idle) })
	}
	h2 := s.dialH2() // one more
	h2.get(1)
	if got := h2.outcome(1); got != "status 200" {
		t.Fatal(got)
	}
	idle[0].SetReadDeadline(time.Now().Add(time.Minute))
	if !ended(idle[0]) {
		t.Fatal("the oldest idle connection was not ended")
	}
	ask(idle[1], "/")
	if got := answer(idle[1]); got != "ok" {
		t.Errorf("a younger one: %s", got)
	}

	// All are at work: what comes beyond the bound is closed.
	for _, c := range idle[1:] {
		ask(c, "/slow")
		<-a.entered
		busy = append(busy, c)
	}
	for refused := false; !refused; {
		c := s.dialPlain()
		ask(c, "/slow")
		c.SetReadDeadline(time.Now().Add(time.Minute))
		over := make(chan bool)
		go func() { over <- ended(c) }()
		select {
		case <-a.entered:
			if busy = append(busy, c); len(busy) > most+1 {
				t.Fatalf("%d connections are at work", len(busy))
			}
			c.SetReadDeadline(time.Unix(1, 0))
			<-over
		case refused = <-over:
		}
	}
	close(a.release)
	for _, c := range busy {
		if got := answer(c); got != "done" {
			t.Errorf("one at work: %s", got)
		}
	}
	res, err := http.Get("http://" + s.MetricsAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), "\ntowline_turned_away_connections_total 1\n") {
		t.Errorf("%v, %s", err, text)
	}
}
