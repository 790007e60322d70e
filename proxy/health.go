package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"towline/proxy/control"
)

// Polling starts at once and slows down from the first interval to the last.
const (
	firstInterval   = 20 * time.Millisecond
	lastInterval    = 250 * time.Millisecond
	probeTimeout    = 5 * time.Second
	defaultDeadline = 60 * time.Second
)

// poll probes the target until it is ready: nil. When deadline (0: none) has
// passed it is a *control.NotReady with what the last probe saw; when ctx
// ends, likewise.
func (t *target) poll(ctx context.Context, deadline time.Duration) error {
	if deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	client := t.prober()
	defer client.CloseIdleConnections()
	interval := or(t.health.Interval, firstInterval)
	last := "it was not probed in time"
	for {
		reason := t.probe(ctx, client)
		if reason == "" {
			return nil
		}
		if ctx.Err() == nil {
			last = reason
		}
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return &control.NotReady{Target: t.spec.ID, Reason: last}
		case <-timer.C:
		}
		if t.health.Interval == 0 {
			interval = min(interval*5/4, lastInterval)
		}
	}
}

// prober keeps no connections: a probe is to tell whether a new one is served.
func (t *target) prober() *http.Client {
	tr := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return t.dial(ctx)
		},
	}
	if t.spec.H2C {
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetUnencryptedHTTP2(true)
	}
	return &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// probe returns why the target is not ready, or "".
func (t *target) probe(ctx context.Context, client *http.Client) string {
	timeout := or(t.health.Timeout, probeTimeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if t.spec.WebSocket {
		c, err := t.dial(ctx)
		if err != nil {
			return "nothing accepts connections at " + t.spec.Address
		}
		c.Close()
		return ""
	}
	if t.spec.H2C && t.health.Path == "" {
		return t.probeGRPC(ctx, client, timeout)
	}
	path := or(t.health.Path, "/")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.spec.Address+path, nil)
	if err != nil {
		return err.Error()
	}
	r.Header.Set("User-Agent", "towline-health")
	r.Header.Set("X-Forwarded-Proto", "https")
	res, err := client.Do(r)
	if err != nil {
		return t.explain(err, "GET "+path, timeout)
	}
	// Only the head matters; a body that does not arrive is no reason to wait.
	_, _ = io.CopyN(io.Discard, res.Body, 1<<10)
	res.Body.Close()
	if t.health.Path == "" {
		return ""
	}
	if len(t.health.Status) == 0 && res.StatusCode >= 200 && res.StatusCode < 400 || slices.Contains(t.health.Status, res.StatusCode) {
		return ""
	}
	return fmt.Sprintf("GET %s answered %d", path, res.StatusCode)
}

// h2Greeting is in net/http's error about a server that begins with HTTP/2's SETTINGS.
const h2Greeting = `malformed HTTP response "\x00\x00`

// explain says in words why a request, such as "GET /up", got no answer.
func (t *target) explain(err error, request string, timeout time.Duration) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "nothing accepts connections at " + t.spec.Address
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%s did not answer within %s", request, timeout)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "it closed the connection without answering " + request
	case !t.spec.H2C && strings.Contains(err.Error(), h2Greeting):
		return "it answered " + request + ` in HTTP/2: a gRPC app must say {"protocol": {"web": "h2c"}} in its app.json`
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Sprintf("%s: %v", request, err)
}
