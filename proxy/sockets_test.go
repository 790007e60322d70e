package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"towline/proxy/control"
)

// TestWebSocketsHaveATargetOfTheirOwn: upgrades go to it and nothing else does, after a
// restart too; taking the service out ends them.
func TestWebSocketsHaveATargetOfTheirOwn(t *testing.T) {
	s := start(t)
	service := shop(addr(app(t, says("page"))))
	service.Targets = append(service.Targets, control.Target{ID: "sockets", Address: addr(app(t, echoSocket)), WebSocket: true})
	s.deploy(service)
	check := func() {
		t.Helper()
		for range 3 {
			if got := s.get(shopURL); got.body != "page" {
				t.Errorf("page: %d %q", got.StatusCode, got.body)
			}
			c, _ := s.dialSocket()
			c.Close()
		}
	}
	check()
	s.restart()
	check()
	c, _ := s.dialSocket()
	if err := s.Remove(context.Background(), "shop"); err != nil {
		t.Fatal(err)
	}
	if err := s.Drain(context.Background(), "shop", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Logf("the WebSocket ended with %v", err)
	}
	if got := s.get(shopURL); got.StatusCode != 404 {
		t.Errorf("taken out: %d", got.StatusCode)
	}
	// Without a target for pages there is nothing for a plain request.
	service.Targets = service.Targets[1:]
	s.deploy(service)
	if got := s.get(shopURL); got.StatusCode != 503 {
		t.Errorf("no page: %d", got.StatusCode)
	}
}

// TestAuthEnds: credentials are good for pages and WebSockets, until their time is over.
func TestAuthEnds(t *testing.T) {
	s := start(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	service := shop(addr(app(t, echoSocket)))
	service.Options.Auth = map[string]string{"ann": string(hash)}
	status := func(password string) int {
		r, _ := http.NewRequest(http.MethodGet, shopURL, nil)
		r.SetBasicAuth("ann", password)
		return s.do(r).StatusCode
	}
	upgrade := func() int {
		c := s.dialTLS()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode
	}
	service.Options.AuthUntil = time.Now().Add(time.Minute)
	s.deploy(service)
	if got := status("right"); got != 200 {
		t.Errorf("in time: %d", got)
	}
	if got := upgrade(); got != 401 {
		t.Errorf("WebSocket without a password: %d", got)
	}
	service.Options.AuthUntil = time.Now().Add(-time.Second)
	s.deploy(service)
	if got := status("right"); got != 401 {
		t.Errorf("too late: %d", got)
	}
}
