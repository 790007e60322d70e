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

// Polling starts at once and slows down from the first interval to the last; further where the
// target answers, and writes a line to its log each time.
const (
	firstInterval    = 20 * time.Millisecond
	lastInterval     = 250 * time.Millisecond
	answeredInterval = 2 * time.Second
	probeTimeout     = 5 * time.Second
	defaultDeadline  = 60 * time.Second
)

// verdictAfter is for how long a target may give an answer that says that the request is
// wrong, and will be: 404, say. Others come of a target that is still starting.
const verdictAfter = 10 * time.Second

// inVain tells of a target that has given such an answer for that long. There are servers that
// do so until the app in them has started: one whose check says what time it may take has that.
func inVain(h control.Health, since time.Duration) bool {
	return h.Deadline == 0 && since > verdictAfter
}

// poll probes the target until it is ready: nil. When deadline (0: none) has
// passed it is a *control.NotReady with what the last probe saw; when ctx
// ends, likewise; and, with a deadline, before it, as soon as waiting is in vain.
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
	var refused time.Time // since when it has said that the request is wrong
	for {
		reason, status := t.probe(ctx, client)
		if reason == "" {
			return nil
		}
		if ctx.Err() == nil {
			last = reason
		}
		switch {
		case !final(status):
			refused = time.Time{}
		case refused.IsZero():
			refused = time.Now()
		case deadline > 0 && inVain(t.health, time.Since(refused)):
			return &control.NotReady{Target: t.spec.ID, Reason: fmt.Sprintf("%s for %.0f seconds; "+
				"if it does so only until it has started, an initialDelay in its app.json gives it time", last, verdictAfter.Seconds())}
		}
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return &control.NotReady{Target: t.spec.ID, Reason: last}
		case <-timer.C:
		}
		if t.health.Interval == 0 {
			most := lastInterval
			if status != 0 {
				most = answeredInterval
			}
			interval = min(interval*5/4, most)
		}
	}
}

// final tells whether a status says that the request itself is wrong.
func final(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// prober keeps no connections: a probe is to tell whether a new one is served.
func (t *target) prober() *http.Client {
	tr := &http.Transport{
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxAnswerHead,
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

// probe returns why the target is not ready, or ""; and the status of its answer, 0 for none.
// The request is as a visitor's would be: apps refuse names that they do not know.
func (t *target) probe(ctx context.Context, client *http.Client) (reason string, status int) {
	timeout := or(t.health.Timeout, probeTimeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if t.spec.WebSocket {
		c, err := t.dial(ctx)
		if err != nil {
			return "nothing accepts connections at " + t.spec.Address, 0
		}
		c.Close()
		return "", 0
	}
	if t.spec.H2C && t.health.Path == "" {
		return t.probeGRPC(ctx, client, timeout), 0
	}
	path := or(t.health.Path, "/")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.spec.Address+path, nil)
	if err != nil {
		return err.Error(), 0
	}
	r.Host = t.host
	r.Header.Set("User-Agent", "towline-health")
	r.Header.Set("X-Forwarded-Proto", "https")
	res, err := client.Do(r)
	if err != nil {
		return t.explain(err, "GET "+path, timeout), 0
	}
	defer res.Body.Close()
	if t.health.Content == "" {
		// Only the head matters. The app may write a body to its end, as to a visitor; one that
		// does not arrive is no reason to wait.
		enough := time.AfterFunc(bodyPatience, cancel)
		_, _ = io.CopyN(io.Discard, res.Body, 1<<10)
		enough.Stop()
	}
	if t.health.Path == "" {
		return "", res.StatusCode
	}
	if len(t.health.Status) == 0 && res.StatusCode >= 200 && res.StatusCode < 400 || slices.Contains(t.health.Status, res.StatusCode) {
		return t.missing(res.Body, path), res.StatusCode
	}
	return fmt.Sprintf("GET %s answered %d", path, res.StatusCode), res.StatusCode
}

// bodyPatience is how long the body of an answer is waited for of which nothing is asked.
const bodyPatience = 100 * time.Millisecond

// maxContent bounds what is read of an answer for what it must hold.
const maxContent = 1 << 20

// missing says that an answer does not hold what it must, or "".
func (t *target) missing(body io.Reader, path string) string {
	if t.health.Content == "" {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(body, maxContent))
	if strings.Contains(string(text), t.health.Content) {
		return ""
	}
	if err != nil {
		return fmt.Sprintf("the answer to GET %s broke off: %v", path, err)
	}
	return fmt.Sprintf("the answer to GET %s does not hold %.60q", path, t.health.Content)
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
