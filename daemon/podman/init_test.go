package podman_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/podman"
)

// TestStartNeedsPreparation: a container that Podman fails to prepare does not run, for
// its files are not sealed then and its network not kept apart. It starts the next time.
func TestStartNeedsPreparation(t *testing.T) {
	direct := newEngine(t)
	failures := make(chan struct{}, 1)
	e := relayed(t, func(w http.ResponseWriter, r *http.Request, podman http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/init") {
			select {
			case <-failures:
				http.Error(w, `{"cause":"busy","message":"busy","response":500}`, http.StatusInternalServerError)
				return
			default:
			}
		}
		podman.ServeHTTP(w, r)
	})
	c := create(t, e, daemon.ContainerSpec{Init: true}, "sleep")
	failures <- struct{}{}
	if err := e.StartContainer(t.Context(), c); err == nil {
		t.Error("started, though it was not prepared")
	}
	if state, err := direct.Container(t.Context(), c); err != nil || state.Running {
		t.Errorf("runs unprepared: %+v, %v", state, err)
	}
	if err := e.StartContainer(t.Context(), c); err != nil {
		t.Error(err)
	}
	if state, err := direct.Container(t.Context(), c); err != nil || !state.Running {
		t.Errorf("does not run: %+v, %v", state, err)
	}
}

// relayed is an engine whose requests pass through handle, which may hand them on to Podman.
func relayed(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, podman http.Handler)) *podman.Engine {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "podman.sock"))
	if err != nil {
		t.Fatal(err)
	}
	relay := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "podman" },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, relay) })}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	e, err := podman.New(t.Context(), podman.Options{Address: "unix://" + listener.Addr().String(), Name: run})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := e.Ping(t.Context()); err == nil {
			return e
		}
		if time.Now().After(deadline) {
			t.Fatal("Podman does not answer through the relay")
		}
	}
}
