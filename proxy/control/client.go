package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Client speaks to a proxy over its unix socket. It implements Proxy and may be
// used by many goroutines. Calls last as long as their ctx: Deploy waits for
// targets, Drain and Pause for requests.
type Client struct {
	socket string
	http   http.Client
}

var _ Proxy = (*Client)(nil)

// NewClient returns a client of the proxy that listens on the unix socket at
// socketPath. Nothing is dialled before the first call.
func NewClient(socketPath string) *Client {
	c := &Client{socket: socketPath}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socketPath)
		},
		// Kept briefly: a proxy that restarts must not leave dead connections.
		IdleConnTimeout: 5 * time.Second,
	}
	return c
}

// Close closes the connections that are kept open between calls.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Deploy implements Proxy. A target that did not become ready is a *NotReady;
// a service that makes no sense is an *Invalid.
func (c *Client) Deploy(ctx context.Context, s Service) error {
	return c.call(ctx, "deploy", s, nil)
}

// Drain implements Proxy.
func (c *Client) Drain(ctx context.Context, service string, budget time.Duration) error {
	return c.call(ctx, "drain", drainRequest{service, budget}, nil)
}

// Remove implements Proxy.
func (c *Client) Remove(ctx context.Context, service string) error {
	return c.call(ctx, "remove", nameRequest{service}, nil)
}

// Pause implements Proxy. A service that is not there is a *NotFound.
func (c *Client) Pause(ctx context.Context, service string, limit time.Duration) error {
	return c.call(ctx, "pause", pauseRequest{service, limit}, nil)
}

// Resume implements Proxy.
func (c *Client) Resume(ctx context.Context, service string) error {
	return c.call(ctx, "resume", nameRequest{service}, nil)
}

// Services implements Proxy.
func (c *Client) Services(ctx context.Context) ([]Status, error) {
	var list []Status
	err := c.call(ctx, "services", struct{}{}, &list)
	return list, err
}

// Certificates implements Proxy.
func (c *Client) Certificates(ctx context.Context) ([]Certificate, error) {
	var list []Certificate
	err := c.call(ctx, "certificates", struct{}{}, &list)
	return list, err
}

// SetCertificate implements Proxy.
func (c *Client) SetCertificate(ctx context.Context, host string, chain, key []byte) error {
	return c.call(ctx, "setcertificate", certificateRequest{host, chain, key}, nil)
}

// DeleteCertificate implements Proxy.
func (c *Client) DeleteCertificate(ctx context.Context, host string) error {
	return c.call(ctx, "deletecertificate", hostRequest{host}, nil)
}

// Traffic implements Proxy.
func (c *Client) Traffic(ctx context.Context, mark string, wait time.Duration) (Report, error) {
	var r Report
	err := c.call(ctx, "traffic", trafficRequest{mark, wait}, &r)
	return r, err
}

// HandOver has the proxy hand its listeners to a new process of its program, and returns
// once that serves.
func (c *Client) HandOver(ctx context.Context) error {
	return c.call(ctx, "handover", struct{}{}, nil)
}

// call posts request and reads the answer into result, unless that is nil.
func (c *Client) call(ctx context.Context, method string, request, result any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("proxy: %s: %w", method, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://proxy/v1/"+method, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("proxy: %s: %w", method, err)
	}
	r.Header.Set("Content-Type", "application/json")
	// Every method of Proxy may be repeated, so a connection that a restart of
	// the proxy closed is worth a second try. net/http wants to be told.
	r.Header["Idempotency-Key"] = nil
	res, err := c.http.Do(r)
	// A proxy that has just handed over hangs up on a new connection too: the one that
	// took over answers at the same socket.
	if errors.Is(err, io.EOF) && method != "handover" && ctx.Err() == nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		res, err = c.http.Do(r)
	}
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &Unreachable{Socket: c.socket, Err: unwrapURL(err)}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return failureOf(method, res)
	}
	if result == nil {
		_, err = io.Copy(io.Discard, res.Body)
	} else {
		err = json.NewDecoder(res.Body).Decode(result)
	}
	if err != nil {
		return fmt.Errorf("proxy: %s: reading the answer: %w", method, err)
	}
	return nil
}

// failureOf turns an error answer back into the error that the proxy returned.
func failureOf(method string, res *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(res.Body, MaxBody))
	if err != nil {
		return fmt.Errorf("proxy: %s: %s: %w", method, res.Status, err)
	}
	var f failure
	if json.Unmarshal(text, &f) != nil || f.Error == "" {
		return fmt.Errorf("proxy: %s: %s: %s", method, res.Status, strings.TrimSpace(string(text)))
	}
	switch {
	case f.NotReady != nil:
		return f.NotReady
	case f.Invalid:
		return &Invalid{Reason: f.Error}
	case f.NotFound:
		return &NotFound{Reason: f.Error}
	}
	return fmt.Errorf("proxy: %s: %s", method, f.Error)
}

// unwrapURL drops net/http's mention of a URL that the user never typed.
func unwrapURL(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
