package podman_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/podman"
)

// relay is a socket of Podman's that can go away.
type relay struct {
	path     string
	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

func (r *relay) start(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.listener = listener
	r.mu.Unlock()
	go func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("unix", socket)
			if err != nil {
				here.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, here, there)
			r.mu.Unlock()
			go func() { _, _ = io.Copy(there, here); there.Close() }()
			go func() { _, _ = io.Copy(here, there); here.Close() }()
		}
	}()
}

func (r *relay) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listener.Close()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

func TestPodmanComesAndGoes(t *testing.T) {
	direct := newEngine(t)
	r := &relay{path: filepath.Join(t.TempDir(), "podman.sock")}
	e, err := podman.New(t.Context(), podman.Options{Address: "unix://" + r.path, Name: run})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := e.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	_, err = e.Ping(t.Context())
	var failure *daemon.Error
	if !errors.As(err, &failure) || failure.Kind != daemon.Unavailable || time.Since(since) > 5*time.Second {
		t.Errorf("before it came, after %s: %v", time.Since(since), err)
	}

	for range 2 { // it comes, and after an absence comes again
		r.start(t)
		awaitMissed(t, events)
		version, err := e.Ping(t.Context())
		if err != nil || version == "" {
			t.Errorf("version %q, %v", version, err)
		}
		awaitEvent(t, direct, events)
		r.stop()
		if _, err := e.Ping(t.Context()); !errors.As(err, &failure) || failure.Kind != daemon.Unavailable {
			t.Errorf("while it is away: %v", err)
		}
	}
	cancel()
	for range events { // closed by and by
	}
}

// awaitMissed waits for the word that events were missed, after those told before.
func awaitMissed(t *testing.T, events <-chan daemon.Event) {
	t.Helper()
	for deadline := time.After(time.Minute); ; {
		select {
		case e := <-events:
			if e.Missed {
				return
			}
		case <-deadline:
			t.Fatal("no word within a minute that it is back and events were missed")
		}
	}
}

// awaitEvent makes containers start until the channel tells of one.
func awaitEvent(t *testing.T, e *podman.Engine, events <-chan daemon.Event) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		started(t, e, daemon.ContainerSpec{}, "exit", "0")
		select {
		case <-events:
			return
		case <-time.After(300 * time.Millisecond):
		}
	}
	t.Error("no event within a minute")
}

func TestUnusableAddress(t *testing.T) {
	for _, address := range []string{"", "tcp://127.0.0.1:1", "unix://", "/run/podman/podman.sock"} {
		if _, err := podman.New(t.Context(), podman.Options{Address: address}); err == nil {
			t.Errorf("took %q", address)
		}
	}
}
