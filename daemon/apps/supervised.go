package apps

import (
	"context"
	"fmt"
	"slices"

	"towline/daemon"
)

// Supervised are processes as their supervisor sees them: see package supervise.
type Supervised struct{ *Processes }

// Lock takes the app's lock, so that a restart never races with a release that is just
// retiring the process.
func (s Supervised) Lock(ctx context.Context, e daemon.Event) (unlock func(), err error) {
	return s.Locks.Lock(ctx, "app:"+e.Labels[daemon.LabelApp], nil)
}

// Name is like web.1.
func (s Supervised) Name(e daemon.Event) string { return s.Containers.ShortName(e.Container) }

// Tell writes into the app's log.
func (s Supervised) Tell(_ context.Context, e daemon.Event, text string) {
	if app := e.Labels[daemon.LabelApp]; app != "" {
		s.Logs.Write(app, "system", s.Name(e), text)
	}
}

// OutOfMemory is said of any container of the app's.
func (s Supervised) OutOfMemory(e daemon.Event) string {
	return fmt.Sprintf("%s (the kernel killed %s)", s.neededMore(s.Name(e)), e.OutOfMemory)
}

// Wanted tells whether the process is of the formation.
func (s Supervised) Wanted(ctx context.Context, e daemon.Event) bool {
	app, err := s.App(ctx, e.Labels[daemon.LabelApp])
	if err != nil {
		return false
	}
	var index int
	_, err = fmt.Sscan(e.Labels[daemon.LabelIndex], &index)
	if err != nil || index > app.Formation[e.Labels[daemon.LabelProcess]] {
		return false
	}
	// One that is being replaced has its successor running already. Its release need
	// not be the current one: config:set --no-restart leaves processes as they are.
	others, err := s.Engine.ContainerList(ctx, map[string]string{
		daemon.LabelApp: app.Name, daemon.LabelProcess: e.Labels[daemon.LabelProcess], daemon.LabelIndex: e.Labels[daemon.LabelIndex],
	})
	return err == nil && !slices.ContainsFunc(others, func(c daemon.Container) bool { return c.Running })
}

// Follow tells the proxy a restarted web process's new address.
func (s Supervised) Follow(ctx context.Context, e daemon.Event) error {
	app := e.Labels[daemon.LabelApp]
	if e.Labels[daemon.LabelProcess] != "web" || app == "" {
		return nil
	}
	routes, err := s.Router.Routes(ctx)
	if err != nil {
		return err
	}
	for _, r := range routes {
		i := slices.IndexFunc(r.Targets, func(t daemon.Target) bool { return r.App == app && t.ID == e.Container })
		if i < 0 {
			continue
		}
		t, err := s.target(ctx, app, e.Container)
		if err != nil || t.Address == r.Targets[i].Address {
			return err
		}
		r.Targets[i].Address = t.Address
		// One that dies again at once must not hold the app's lock for long.
		ctx, cancel := s.whileRunning(ctx, e.Container)
		defer cancel()
		return s.Router.Deploy(ctx, r)
	}
	return nil
}
