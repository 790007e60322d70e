package router

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"towline/daemon"
	"towline/proxy/control"
)

// TestProxyHangs: a proxy that takes every call and answers none is away; but a pause
// lasts as long as its caller wants.
func TestProxyHangs(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "hangs.sock")
	l, err := net.Listen("unix", socket) // the kernel takes the connections
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := control.NewClient(socket)
	defer client.Close()
	r := &Router{client, 20 * time.Millisecond}
	for name, call := range map[string]func(context.Context) error{
		"drain":   func(ctx context.Context) error { return r.Drain(ctx, "shop", 0) },
		"remove":  func(ctx context.Context) error { return r.Remove(ctx, "shop") },
		"resume":  func(ctx context.Context) error { return r.Resume(ctx, "shop") },
		"routes":  func(ctx context.Context) error { _, err := r.Routes(ctx); return err },
		"traffic": func(ctx context.Context) error { _, err := r.Traffic(ctx, "", 0); return err },
		"certificates": func(ctx context.Context) error {
			_, err := r.Certificates(ctx)
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := call(ctx)
		cancel()
		var e *daemon.Error
		if !errors.As(err, &e) || e.Kind != daemon.Unavailable {
			t.Errorf("%s: got %v, want an Unavailable error", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Pause(ctx, "shop", time.Second); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("pause: got %v", err)
	}
}
