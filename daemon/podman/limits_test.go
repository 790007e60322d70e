package podman

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"towline/daemon"
)

func TestLimits(t *testing.T) {
	for call, want := range map[string]time.Duration{
		"GET /v5.0.0/libpod/containers/wait/json":             callLimit,
		"POST /v5.0.0/libpod/containers/x/wait":               0,
		"GET /v4.0.0/libpod/events?stream=true":               0,
		"GET /v4.0.0/libpod/containers/x/logs?follow=true":    0,
		"GET /v4.0.0/libpod/containers/x/logs?follow=false":   callLimit,
		"POST /v5.0.0/libpod/images/load":                     dataLimit,
		"DELETE /v5.0.0/libpod/containers/wait?force=true":    workLimit,
		"POST /v5.0.0/libpod/containers/x/stop?timeout=30":    workLimit,
		"GET /v5.0.0/libpod/exec/3f/json":                     callLimit,
		"POST /v5.0.0/libpod/containers/x/start":              callLimit,
		"POST /v4.0.0/libpod/containers/x/resize?h=24&w=80":   callLimit,
		"GET /v5.0.0/libpod/images/localhost%2Fx%3A1/get":     dataLimit,
		"POST /v5.0.0/libpod/images/pull?reference=localhost": dataLimit,
	} {
		var method, target string
		for i := range call {
			if call[i] == ' ' {
				method, target = call[:i], call[i+1:]
			}
		}
		if got := limitOf(httptest.NewRequest(method, target, nil)); got != want {
			t.Errorf("%s: %s, want %s", call, got, want)
		}
	}
}

// TestPodmanHangs: one that takes calls and does not answer, or stops in the middle of an
// answer, is away.
func TestPodmanHangs(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			_, _ = w.Write([]byte("half"))
			w.(http.Flusher).Flush()
		}
		<-release
	}))
	defer server.Close()
	defer close(release)
	client := http.Client{Transport: bounded{http.DefaultTransport, func(*http.Request) time.Duration { return 50 * time.Millisecond }}}
	for _, path := range []string{"/", "/half"} {
		response, err := client.Get(server.URL + path)
		if err == nil {
			_, err = io.ReadAll(response.Body)
			response.Body.Close()
		}
		var e *daemon.Error
		if !errors.As(wrap(err, "look"), &e) || e.Kind != daemon.Unavailable || e.Message != errLate.Message {
			t.Errorf("%s: %v", path, err)
		}
	}
}
