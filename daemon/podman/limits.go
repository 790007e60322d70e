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

// limitOf is how long a call may take; 0: as long as its caller wants, for it waits for a
// process. Of one that follows what comes that is the time to the head of the answer, and
// whole is false.
func limitOf(r *http.Request) (limit time.Duration, whole bool) {
	switch name := path.Base(r.URL.Path); {
	case r.Method == http.MethodDelete, name == "stop", name == "kill":
		return workLimit, true
	case name == "wait":
		return 0, true
	case name == "events", name == "logs" && r.URL.Query().Get("follow") == "true":
		return callLimit, false
	case name == "pull", name == "load", name == "export", name == "import", name == "get":
		return dataLimit, true
	}
	return callLimit, true
}

// bounded ends every call after its limit. The bindings make three attempts.
type bounded struct {
	http.RoundTripper
	limit func(*http.Request) (limit time.Duration, whole bool)
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	limit, whole := b.limit(r)
	if limit == 0 {
		return b.RoundTripper.RoundTrip(r)
	}
	ctx, end := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(limit, func() { end(errLate) })
	cancel := func() { timer.Stop(); end(nil) }
	response, err := b.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		err = late(r.Context(), ctx, err)
		cancel()
		return nil, err
	}
	if !whole {
		timer.Stop()
	}
	response.Body = &boundedBody{response.Body, r.Context(), ctx, cancel}
	return response, nil
}

// late is errLate, or why the caller's context ended, instead of what that made of
// a call with ctx.
func late(caller, ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, errLate) {
		return errLate
	}
	if caller.Err() != nil {
		return caller.Err()
	}
	return err
}

type boundedBody struct {
	io.ReadCloser
	caller context.Context
	ctx    context.Context
	cancel func()
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = late(b.caller, b.ctx, err)
	}
	return n, err
}

func (b *boundedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
