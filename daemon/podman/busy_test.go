package podman_test

import (
	"bytes"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"towline/daemon"
)

// TestBusyPodmanNotesTheEndLate: on a busy machine Podman may take longer to tell of the end of a
// process than one may live on whose streams have ended. That is no reason to call its end unknown.
func TestBusyPodmanNotesTheEndLate(t *testing.T) {
	t.Parallel()
	newEngine(t) // or skip
	var busy atomic.Bool
	e := relayed(t, func(w http.ResponseWriter, r *http.Request, podman http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/json") && busy.Load() {
			time.Sleep(11 * time.Second)
		}
		podman.ServeHTTP(w, r)
		if strings.HasSuffix(r.URL.Path, "/start") {
			busy.Store(true)
		}
	})
	c := create(t, e, daemon.ContainerSpec{Init: true}, "out", "go")
	var out bytes.Buffer
	code, err := e.RunAttached(t.Context(), c, daemon.Streams{Stdout: &out})
	if err != nil || code != 0 || out.String() != "go" {
		t.Errorf("%d, %v, %q", code, err, &out)
	}
}
