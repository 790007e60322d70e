package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
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
