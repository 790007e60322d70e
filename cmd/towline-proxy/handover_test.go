package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"towline/proxy/control"
)

// slowTarget becomes ready when told to.
func slowTarget(t *testing.T) (address string, ready *atomic.Bool) {
	ready = new(atomic.Bool)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "slow")
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), ready
}

// TestHandOverOnRequest: the control socket answers once the new process serves, and a
// deploy that was under way is served by it.
func TestHandOverOnRequest(t *testing.T) {
	s := newStand(t)
	cmd := s.run()
	t.Cleanup(s.stopAll)
	s.deploy(target(t))
	c := control.NewClient(s.dir + "/control.sock")
	defer c.Close()
	address, ready := slowTarget(t)
	deployed := make(chan error, 1)
	go func() {
		deployed <- c.Deploy(context.Background(), control.Service{
			Name: "late", Hosts: []string{"late.localhost"}, Targets: []control.Target{{ID: "web.1", Address: address}},
			Health: control.Health{Path: "/"},
		})
	}()
	time.Sleep(50 * time.Millisecond) // the deploy polls its target; an early hand-over would be noticed below
	handed := make(chan error, 1)
	go func() { handed <- c.HandOver(context.Background()) }()
	select {
	case err := <-handed:
		t.Fatalf("handed over in the middle of a deploy: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	ready.Store(true)
	if err := <-deployed; err != nil {
		t.Fatal(err)
	}
	if err := <-handed; err != nil {
		t.Fatal(err)
	}
	// Wait of exec's would wait for the new process too, which has the same stderr.
	if state, err := cmd.Process.Wait(); err != nil || !state.Success() {
		t.Fatalf("the process of before: %v, %v", state, err)
	}
	list, err := c.Services(context.Background())
	if err != nil || len(list) != 2 {
		t.Errorf("the new process serves %d services, %v", len(list), err)
	}
	s.waitForRequests(3)
}

// TestHandOverThatFails: the caller is told, and the process serves on.
func TestHandOverThatFails(t *testing.T) {
	s := newStand(t)
	s.run()
	t.Cleanup(s.stopAll)
	s.deploy(target(t))
	config := s.dir + "/towline.toml"
	sound, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("colour = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := control.NewClient(s.dir + "/control.sock")
	defer c.Close()
	if err := c.HandOver(context.Background()); err == nil || !strings.Contains(err.Error(), "did not start to serve") {
		t.Errorf("a program that cannot start takes over: %v", err)
	}
	s.waitForRequests(3)
	if err := os.WriteFile(config, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.HandOver(context.Background()); err != nil {
		t.Errorf("the next: %v", err)
	}
	s.waitForRequests(3)
}

// TestHandOverKeepsTheWatchdog: the variable that names its process is the new one's.
func TestHandOverKeepsTheWatchdog(t *testing.T) {
	t.Setenv("LISTEN_PID", "self")
	t.Setenv("LISTEN_FDS", "0")
	t.Setenv("WATCHDOG_PID", "1")
	t.Setenv("WATCHDOG_USEC", "1000000")
	if err := takeListeners(nil); err != nil {
		t.Fatal(err)
	}
	if got := os.Getenv("WATCHDOG_PID"); got == "1" || got == "" {
		t.Errorf("WATCHDOG_PID is %q: the watchdog would end the new process", got)
	}
}

// echo is an app that repeats what is sent on a WebSocket.
func echo(t *testing.T) string {
	a := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			return
		}
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(c, rw)
	}))
	t.Cleanup(a.Close)
	return strings.TrimPrefix(a.URL, "http://")
}

// TestWebSocketsOutliveTwoHandOvers: the process that has them goes on, also when the one
// that took over has ended because it was replaced in its turn.
func TestWebSocketsOutliveTwoHandOvers(t *testing.T) {
	s := newStand(t)
	first := s.run().Process.Pid
	t.Cleanup(s.stopAll)
	s.deploy(echo(t))
	config := s.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "shop.localhost"
	c, err := tls.Dial("tcp", s.https.Addr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	others := func() []int {
		return slices.DeleteFunc(programs(t, s.dir), func(pid int) bool { return pid == first })
	}
	for range 2 {
		before := others()
		client := control.NewClient(s.dir + "/control.sock")
		if err := client.HandOver(context.Background()); err != nil {
			t.Fatal(err)
		}
		client.Close()
		for deadline := time.Now().Add(time.Minute); len(others()) != 1 || slices.Equal(others(), before); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("these run: %v, before: %v", others(), before)
			}
		}
		time.Sleep(100 * time.Millisecond) // the first learns of it
		if _, err := io.WriteString(c, "still here\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := r.ReadString('\n'); err != nil || line != "still here\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
}
