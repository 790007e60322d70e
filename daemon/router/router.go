// Package router lets the daemon say what the proxy serves.
package router

import (
	"context"
	"errors"
	"fmt"
	"io"

	"maps"

	"slices"
	"syscall"
	"time"

	"towline/daemon"
	"towline/proxy/control"
)

// Router is a daemon.Router. A proxy that takes a call and never answers is away: every
// call ends.
type Router struct {
	proxy control.Proxy
	limit time.Duration // of a call that waits for nothing, and what others get on top
}

// callLimit is far beyond what a proxy takes that has thousands of routes.
const callLimit = 30 * time.Second

// bootLimit is what the proxy gives targets to become ready unless the route says.
const bootLimit = time.Minute

// limited ends a call that should take d.
func (r *Router) limited(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d+r.limit, errLate)
}

var errLate = away(errors.New("it took too long to answer"))

func away(cause error) *daemon.Error {
	e := daemon.Errorf(daemon.Unavailable, "the proxy does not answer").
		WithHint("on the host, see: systemctl status towline-proxy")
	e.Err = cause
	return e
}

var _ daemon.Router = (*Router)(nil)

// New returns a Router over p, as a rule a control.Client.
func New(p control.Proxy) *Router { return &Router{p, callLimit} }

// Deploy implements daemon.Router.
func (r *Router) Deploy(ctx context.Context, route daemon.Route) error {
	ctx, cancel := r.limited(ctx, max(route.Health.Deadline, bootLimit))
	defer cancel()
	return translate(r.proxy.Deploy(ctx, service(route)))
}

// Drain implements daemon.Router.
func (r *Router) Drain(ctx context.Context, app string, budget time.Duration) error {
	ctx, cancel := r.limited(ctx, budget)
	defer cancel()
	return translate(r.proxy.Drain(ctx, app, budget))
}

// Remove implements daemon.Router.
func (r *Router) Remove(ctx context.Context, app string) error {
	ctx, cancel := r.limited(ctx, 0)
	defer cancel()
	return translate(r.proxy.Remove(ctx, app))
}

// Pause implements daemon.Router. It waits for requests in flight as long as ctx lets it.
func (r *Router) Pause(ctx context.Context, app string, limit time.Duration) error {
	return translate(r.proxy.Pause(ctx, app, limit))
}

// Resume implements daemon.Router.
func (r *Router) Resume(ctx context.Context, app string) error {
	ctx, cancel := r.limited(ctx, 0)
	defer cancel()
	return translate(r.proxy.Resume(ctx, app))
}

// Routes implements daemon.Router.
func (r *Router) Routes(ctx context.Context) ([]daemon.Route, error) {
	ctx, cancel := r.limited(ctx, 0)
	defer cancel()
	services, err := r.proxy.Services(ctx)
	if err != nil {
		return nil, translate(err)
	}
	routes := make([]daemon.Route, len(services))
	for i, s := range services {
		routes[i] = route(s.Service)
	}
	return routes, nil
}

// Certificates implements daemon.Router.
func (r *Router) Certificates(ctx context.Context) ([]daemon.Certificate, error) {
	ctx, cancel := r.limited(ctx, 0)
	defer cancel()
	list, err := r.proxy.Certificates(ctx)
	if err != nil {
		return nil, translate(err)
	}
	certs := make([]daemon.Certificate, len(list))
	for i, c := range list {
		certs[i] = daemon.Certificate{Host: c.Host, Kind: c.Kind, State: c.State, Issuer: c.Issuer, Error: c.Error, NotAfter: c.NotAfter}
	}
	return certs, nil
}

// SetCertificate implements daemon.Router.
func (r *Router) SetCertificate(ctx context.Context, host string, chain, key []byte) error {
	err := r.proxy.SetCertificate(ctx, host, chain, key)
	var invalid *control.Invalid
	if errors.As(err, &invalid) {
		return daemon.Errorf(daemon.Invalid, "%s", invalid.Reason).WithHint("nothing was changed")
	}
	return translate(err)
}

// DeleteCertificate implements daemon.Router.
func (r *Router) DeleteCertificate(ctx context.Context, host string) error {
	return translate(r.proxy.DeleteCertificate(ctx, host))
}

func service(r daemon.Route) control.Service {
	s := control.Service{
		Name:    r.App,
		Hosts:   slices.Clone(r.Hosts),
		Targets: make([]control.Target, len(r.Targets)),
		Health:  control.Health{Path: r.Health.Path, Status: slices.Clone(r.Health.Status), Content: r.Health.Content, Timeout: r.Health.Timeout, Deadline: r.Health.Deadline},
		Options: control.Options{
			Maintenance: r.Maintenance, MaintenancePage: r.MaintenancePage, Undeployed: r.Undeployed,
			PlainHTTP: r.PlainHTTP, HSTS: r.HSTS, Redirects: maps.Clone(r.Redirects),
			MaxBody: r.MaxBody, MaxHeader: r.MaxHeader, ResponseTimeout: r.ResponseTimeout, IdleTimeout: r.IdleTimeout,
			Auth: maps.Clone(r.Auth), AuthUntil: r.AuthUntil, Prefix: r.Prefix, AllowFrom: slices.Clone(r.AllowFrom),
		},
	}
	for i, t := range r.Targets {
		s.Targets[i] = control.Target{ID: t.ID, Address: t.Address, WebSocket: t.WebSocket, H2C: t.H2C}
	}
	return s
}

func route(s control.Service) daemon.Route {
	o := s.Options
	r := daemon.Route{
		App:         s.Name,
		Hosts:       slices.Clone(s.Hosts),
		Redirects:   maps.Clone(o.Redirects),
		Targets:     make([]daemon.Target, len(s.Targets)),
		Health:      daemon.Health{Path: s.Health.Path, Status: slices.Clone(s.Health.Status), Content: s.Health.Content, Timeout: s.Health.Timeout, Deadline: s.Health.Deadline},
		Maintenance: o.Maintenance,
		Undeployed:  o.Undeployed,
		AuthUntil:   o.AuthUntil,
		Prefix:      o.Prefix,
		Rules: daemon.Rules{
			ResponseTimeout: o.ResponseTimeout, IdleTimeout: o.IdleTimeout, MaxBody: o.MaxBody, MaxHeader: o.MaxHeader,
			AllowFrom: slices.Clone(o.AllowFrom), Auth: maps.Clone(o.Auth), PlainHTTP: o.PlainHTTP, HSTS: o.HSTS, MaintenancePage: o.MaintenancePage,
		},
	}
	for i, t := range s.Targets {
		r.Targets[i] = daemon.Target{ID: t.ID, Address: t.Address, WebSocket: t.WebSocket, H2C: t.H2C}
	}
	return r
}

// translate turns the proxy's errors into the daemon's. What the proxy itself
// refuses stays as it is: its text says why.
func translate(err error) error {
	var notReady *control.NotReady
	var invalid *control.Invalid
	var absent *control.NotFound
	switch {
	case errors.Is(err, errLate):
		return errLate
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &notReady):
		return &daemon.NotReadyError{Target: notReady.Target, Reason: notReady.Reason}
	case errors.As(err, &invalid):
		return daemon.Errorf(daemon.Invalid, "the proxy refuses the route: %w", err)
	case errors.As(err, &absent):
		return daemon.Errorf(daemon.NotFound, "the proxy has %w", absent)
	case unreachable(err):
		return away(err)
	}
	return fmt.Errorf("asking the proxy: %w", err)
}

// unreachable tells that no proxy took the question, or that it went away before
// the answer.
func unreachable(err error) bool {
	var nobody *control.Unreachable
	return errors.As(err, &nobody) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
