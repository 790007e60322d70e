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
		"GET /v4.0.0/libpod/events?stream=true":               -callLimit, // to the head
		"GET /v4.0.0/libpod/containers/x/logs?follow=true":    -callLimit,
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
		got, whole := limitOf(httptest.NewRequest(method, target, nil))
		if !whole {
			got = -got
		}
		if got != want {
			t.Errorf("%s: %s, want %s", call, got, want)
		}
	}
}

// TestPodmanHangs: one that takes calls and does not answer, or stops in the middle of an
// answer, is away.
func TestPodmanHangs(t *testing.T) {
	release, follow := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			_, _ = w.Write([]byte("half"))
			w.(http.Flusher).Flush()
		}
		if r.URL.Path == "/follow" {
			<-follow
			_, _ = w.Write([]byte("more"))
			return
		}
		<-release
	}))
	defer server.Close()
	defer close(release)
	short := func(r *http.Request) (time.Duration, bool) { return 50 * time.Millisecond, r.URL.Path != "/follow" }
	client := http.Client{Transport: bounded{http.DefaultTransport, short}}
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
	// What follows has no end of its own once it has begun.
	response, err := client.Get(server.URL + "/follow")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	time.AfterFunc(200*time.Millisecond, func() { close(follow) })
	if text, err := io.ReadAll(response.Body); err != nil || string(text) != "halfmore" {
		t.Errorf("got %q, %v", text, err)
	}
}
