package faults

import (
	"context"
	"io"
	"time"

	"towline/daemon"
)

// Router is a daemon.Router at the other end of a line.
type Router struct {
	Line *Line
	To   daemon.Router
}

var _ daemon.Router = Router{}

// Deploy implements daemon.Router, as all below do.
func (r Router) Deploy(ctx context.Context, route daemon.Route) error {
	return r.Line.do(ctx, "Router.Deploy", route.App, func() error { return r.To.Deploy(ctx, route) })
}

func (r Router) Drain(ctx context.Context, app string, budget time.Duration) error {
	return r.Line.do(ctx, "Router.Drain", app, func() error { return r.To.Drain(ctx, app, budget) })
}

func (r Router) Remove(ctx context.Context, app string) error {
	return r.Line.do(ctx, "Router.Remove", app, func() error { return r.To.Remove(ctx, app) })
}

func (r Router) Pause(ctx context.Context, app string, limit time.Duration) error {
	return r.Line.do(ctx, "Router.Pause", app, func() error { return r.To.Pause(ctx, app, limit) })
}

func (r Router) Resume(ctx context.Context, app string) error {
	return r.Line.do(ctx, "Router.Resume", app, func() error { return r.To.Resume(ctx, app) })
}

func (r Router) Routes(ctx context.Context) ([]daemon.Route, error) {
	return get(r.Line, ctx, "Router.Routes", "", func() ([]daemon.Route, error) { return r.To.Routes(ctx) })
}

func (r Router) Certificates(ctx context.Context) ([]daemon.Certificate, error) {
	return get(r.Line, ctx, "Router.Certificates", "", func() ([]daemon.Certificate, error) { return r.To.Certificates(ctx) })
}

func (r Router) SetCertificate(ctx context.Context, host string, chain, key []byte) error {
	return r.Line.do(ctx, "Router.SetCertificate", host, func() error { return r.To.SetCertificate(ctx, host, chain, key) })
}

func (r Router) DeleteCertificate(ctx context.Context, host string) error {
	return r.Line.do(ctx, "Router.DeleteCertificate", host, func() error { return r.To.DeleteCertificate(ctx, host) })
}

// Store is a daemon.Store that the dead do not reach. Its calls do not go wrong: it is part
// of the daemon.
type Store struct {
	Line *Line
	To   daemon.Store
}

// View implements daemon.Store, as the others do.
func (s Store) View(ctx context.Context, f func(daemon.Tx) error) error {
	if err := s.Line.alive(); err != nil {
		return err
	}
	return s.To.View(ctx, f)
}

func (s Store) Update(ctx context.Context, f func(daemon.Tx) error) error {
	if err := s.Line.alive(); err != nil {
		return err
	}
	return s.To.Update(ctx, f)
}

func (s Store) Close() error { return s.To.Close() }

// Builder is a daemon.Builder at the other end of a line.
type Builder struct {
	Line *Line
	To   daemon.Builder
}

// Build implements daemon.Builder, as the others do.
func (b Builder) Build(ctx context.Context, req daemon.BuildRequest, out io.Writer) (daemon.BuildResult, error) {
	return get(b.Line, ctx, "Builder.Build", req.App, func() (daemon.BuildResult, error) { return b.To.Build(ctx, req, out) })
}

func (b Builder) Clean(ctx context.Context, id string) error {
	return b.Line.do(ctx, "Builder.Clean", id, func() error { return b.To.Clean(ctx, id) })
}

func (b Builder) RemoveCaches(ctx context.Context, app string) error {
	return b.Line.do(ctx, "Builder.RemoveCaches", app, func() error { return b.To.RemoveCaches(ctx, app) })
}

// Repositories are daemon.Repositories at the other end of a line.
type Repositories struct {
	Line *Line
	To   daemon.Repositories
}

// Create implements daemon.Repositories, as the others do.
func (r Repositories) Create(ctx context.Context, app string) error {
	return r.Line.do(ctx, "Repositories.Create", app, func() error { return r.To.Create(ctx, app) })
}

func (r Repositories) Remove(ctx context.Context, app string) error {
	return r.Line.do(ctx, "Repositories.Remove", app, func() error { return r.To.Remove(ctx, app) })
}

func (r Repositories) Commits(ctx context.Context, app, from, to string, most int) (list []daemon.Commit, ahead int, err error) {
	err = r.Line.do(ctx, "Repositories.Commits", app, func() (err error) {
		list, ahead, err = r.To.Commits(ctx, app, from, to, most)
		return err
	})
	return list, ahead, err
}

func (r Repositories) Path(app string) string { return r.To.Path(app) }

// Keys are daemon.Keys at the other end of a line.
type Keys struct {
	Line *Line
	To   daemon.Keys
}

// Replace implements daemon.Keys, as Parse does.
func (k Keys) Replace(ctx context.Context, keys []daemon.MemberKey) error {
	return k.Line.do(ctx, "Keys.Replace", "", func() error { return k.To.Replace(ctx, keys) })
}

func (k Keys) Parse(line string) (key, fingerprint string, err error) { return k.To.Parse(line) }
