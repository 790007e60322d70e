package handles

import (
	"context"
	"io"
	"maps"
	"time"

	"towline/daemon"
)

// Engine is an engine whose labels name apps by their handles.
func (h *Handles) Engine(to daemon.Engine) daemon.Engine { return engine{to, h} }

type engine struct {
	daemon.Engine
	h *Handles
}

// relabel returns the labels with the app's name or handle put through f.
func relabel(labels map[string]string, f func(string) string) map[string]string {
	app := labels[daemon.LabelApp]
	if app == "" || f(app) == app {
		return labels
	}
	labels = maps.Clone(labels)
	labels[daemon.LabelApp] = f(app)
	return labels
}

func (e engine) EnsureNetwork(ctx context.Context, name string, labels map[string]string) error {
	return e.Engine.EnsureNetwork(ctx, name, relabel(labels, e.h.Of))
}

func (e engine) Networks(ctx context.Context) ([]daemon.Labelled, error) {
	list, err := e.Engine.Networks(ctx)
	for i := range list {
		list[i].Labels = relabel(list[i].Labels, e.h.App)
	}
	return list, err
}

func (e engine) EnsureVolume(ctx context.Context, name string, labels map[string]string) error {
	return e.Engine.EnsureVolume(ctx, name, relabel(labels, e.h.Of))
}

func (e engine) Volumes(ctx context.Context) ([]daemon.Labelled, error) {
	list, err := e.Engine.Volumes(ctx)
	for i := range list {
		list[i].Labels = relabel(list[i].Labels, e.h.App)
	}
	return list, err
}

func (e engine) CreateContainer(ctx context.Context, spec daemon.ContainerSpec) error {
	spec.Labels = relabel(spec.Labels, e.h.Of)
	return e.Engine.CreateContainer(ctx, spec)
}

func (e engine) Container(ctx context.Context, name string) (daemon.Container, error) {
	c, err := e.Engine.Container(ctx, name)
	c.Labels = relabel(c.Labels, e.h.App)
	return c, err
}

func (e engine) ContainerList(ctx context.Context, labels map[string]string) ([]daemon.Container, error) {
	list, err := e.Engine.ContainerList(ctx, relabel(labels, e.h.Of))
	for i := range list {
		list[i].Labels = relabel(list[i].Labels, e.h.App)
	}
	return list, err
}

func (e engine) Events(ctx context.Context) (<-chan daemon.Event, error) {
	events, err := e.Engine.Events(ctx)
	if err != nil {
		return nil, err
	}
	named := make(chan daemon.Event)
	go func() {
		defer close(named)
		for event := range events {
			event.Labels = relabel(event.Labels, e.h.App)
			select {
			case named <- event:
			case <-ctx.Done(): // and then events is closed
			}
		}
	}()
	return named, nil
}

// Builder is a builder that keeps caches by handle.
func (h *Handles) Builder(to daemon.Builder) daemon.Builder { return builder{to, h} }

type builder struct {
	daemon.Builder
	h *Handles
}

func (b builder) Build(ctx context.Context, req daemon.BuildRequest, out io.Writer) (daemon.BuildResult, error) {
	req.App = b.h.Of(req.App)
	return b.Builder.Build(ctx, req, out)
}

func (b builder) RemoveCaches(ctx context.Context, app string) error {
	return b.Builder.RemoveCaches(ctx, b.h.Of(app))
}

// Router is a router whose routes are called by handle.
func (h *Handles) Router(to daemon.Router) daemon.Router { return router{to, h} }

type router struct {
	daemon.Router
	h *Handles
}

func (r router) Deploy(ctx context.Context, route daemon.Route) error {
	route.App = r.h.Of(route.App)
	return r.Router.Deploy(ctx, route)
}

func (r router) Drain(ctx context.Context, app string, budget time.Duration) error {
	return r.Router.Drain(ctx, r.h.Of(app), budget)
}

func (r router) Remove(ctx context.Context, app string) error {
	return r.Router.Remove(ctx, r.h.Of(app))
}

func (r router) Pause(ctx context.Context, app string, limit time.Duration) error {
	return r.Router.Pause(ctx, r.h.Of(app), limit)
}

func (r router) Resume(ctx context.Context, app string) error {
	return r.Router.Resume(ctx, r.h.Of(app))
}

func (r router) Routes(ctx context.Context) ([]daemon.Route, error) {
	routes, err := r.Router.Routes(ctx)
	for i := range routes {
		routes[i].App = r.h.App(routes[i].App)
	}
	return routes, err
}

// Repositories are repositories that are called by handle.
func (h *Handles) Repositories(to daemon.Repositories) daemon.Repositories {
	return repositories{to, h}
}

type repositories struct {
	to daemon.Repositories
	h  *Handles
}

func (r repositories) Create(ctx context.Context, app string) error {
	return r.to.Create(ctx, r.h.Of(app))
}

func (r repositories) Remove(ctx context.Context, app string) error {
	return r.to.Remove(ctx, r.h.Of(app))
}

func (r repositories) Commits(ctx context.Context, app, from, to string, most int) ([]daemon.Commit, int, error) {
	return r.to.Commits(ctx, r.h.Of(app), from, to, most)
}

func (r repositories) Path(app string) string { return r.to.Path(r.h.Of(app)) }

// Logs are logs that are kept by handle.
func (h *Handles) Logs(to daemon.Logs) daemon.Logs { return logs{to, h} }

type logs struct {
	daemon.Logs
	h *Handles
}

func (l logs) ContainerPath(app, process string) string {
	return l.Logs.ContainerPath(l.h.Of(app), process)
}

func (l logs) Write(app, source, process, line string) {
	l.Logs.Write(l.h.Of(app), source, process, line)
}

func (l logs) KeepOutput(app, of string, number, keep int) (io.WriteCloser, error) {
	return l.Logs.KeepOutput(l.h.Of(app), of, number, keep)
}

func (l logs) Read(ctx context.Context, q daemon.LogQuery, line func(daemon.LogLine) error) error {
	q.App = l.h.Of(q.App)
	return l.Logs.Read(ctx, q, line)
}

func (l logs) Remove(app string) error { return l.Logs.Remove(l.h.Of(app)) }
