package podman

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path"
	"time"

	"towline/daemon"
)

// Podman may stop answering without going away: its storage is locked, its process
// stopped, its disk dead. Every call ends, though its caller would wait for ever.
const (
	// callLimit bounds a call that takes a moment as a rule.
	callLimit = 2 * time.Minute
	// workLimit bounds one that stops a process or removes data.
	workLimit = 15 * time.Minute
	// dataLimit bounds one that moves an image.
	dataLimit = 2 * time.Hour
)

var errLate = daemon.Errorf(daemon.Unavailable, "podman took too long to answer").
	WithHint("see: systemctl status podman; does its disk answer?")

// limitOf is how long a call may take, answer included; 0: as long as its caller wants,
// for it waits for a process or follows what comes.
func limitOf(r *http.Request) time.Duration {
	switch name := path.Base(r.URL.Path); {
	case r.Method == http.MethodDelete, name == "stop", name == "kill":
		return workLimit
	case name == "wait", name == "events", name == "logs" && r.URL.Query().Get("follow") == "true":
		return 0
	case name == "pull", name == "load", name == "export", name == "import", name == "get":
		return dataLimit
	}
	return callLimit
}

// bounded ends every call after its limit. The bindings make three attempts.
type bounded struct {
	http.RoundTripper
	limit func(*http.Request) time.Duration
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	limit := b.limit(r)
	if limit == 0 {
		return b.RoundTripper.RoundTrip(r)
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), limit, errLate)
	response, err := b.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		err = late(ctx, err)
		cancel()
		return nil, err
	}
	response.Body = &boundedBody{response.Body, ctx, cancel}
	return response, nil
}

// late is errLate instead of what that made of a call.
func late(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, errLate) {
		return errLate
	}
	return err
}

type boundedBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelFunc
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = late(b.ctx, err)
	}
	return n, err
}

func (b *boundedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
