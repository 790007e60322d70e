package machine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"towline/daemon"
	"towline/daemon/container"
)

// supervisor remembers which containers are being revived.
type supervisor struct {
	mu       sync.Mutex
	reviving map[string]int
}

// begin notes that a container is being revived, until end is called.
func (s *supervisor) begin(container string) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reviving[container]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.reviving[container]--; s.reviving[container] == 0 {
			delete(s.reviving, container)
		}
	}
}

func (s *supervisor) seesTo(container string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reviving[container] > 0
}

// Supervise restarts processes and add-ons that die, with back-off, until ctx ends.
func (d *Daemon) Supervise(ctx context.Context) error {
	events, err := d.Engine.Events(ctx)
	if err != nil {
		return err
	}
	// Nobody tells of what died before.
	d.Life.Go(func(ctx context.Context) {
		select {
		case <-d.started:
			d.reviveAll(ctx)
		case <-ctx.Done():
		}
	})
	for e := range events { // each in a goroutine of its own, which contains its panics
		switch {
		case e.Missed:
			d.Life.Go(d.reviveAll)
		case e.OutOfMemory != "":
			d.Life.Go(func(ctx context.Context) { d.logMemoryKill(ctx, e) })
		case e.Died && supervised(e.Labels):
			d.Life.Go(func(ctx context.Context) { d.revive(ctx, e) })
		}
	}
	return ctx.Err()
}

func supervised(labels map[string]string) bool {
	return labels[daemon.LabelKind] == daemon.KindProcess || labels[daemon.LabelKind] == daemon.KindAddon
}

// reviveAll restarts every container that died without anybody being told: while
// Podman's service was being upgraded, say.
func (d *Daemon) reviveAll(ctx context.Context) {
	list, err := d.Engine.ContainerList(ctx, nil)
	if err != nil && ctx.Err() == nil {
		d.Log.Error("look for what died", "err", err) // and again when Podman is back
	}
	for _, c := range list {
		if c.Running || c.Paused || !supervised(c.Labels) || d.supervisor.seesTo(c.Name) {
			continue
		}
		d.Life.Go(func(ctx context.Context) {
			d.revive(ctx, daemon.Event{Container: c.Name, Labels: c.Labels, Died: true, ExitCode: c.ExitCode})
		})
	}
}

// revive restarts a container that died, if it should be running still.
func (d *Daemon) revive(ctx context.Context, e daemon.Event) {
	defer d.supervisor.begin(e.Container)()
	app, addon := e.Labels[daemon.LabelApp], e.Labels[daemon.LabelAddon]
	lock := "app:" + app
	if addon != "" {
		lock = "addon:" + addon
	}
	name := d.Containers.ShortName(e.Container)
	if addon != "" {
		name = addon
	}
	first := true
	for ctx.Err() == nil {
		unlock, err := d.Locks.Lock(ctx, lock, nil)
		if err != nil {
			return
		}
		again, wait := true, container.MaxBackoff // if it panics
		daemon.Attempt("the restart of a process", func() { again, wait = d.reviveOnce(ctx, e, name, first) })
		unlock()
		if !again {
			return
		}
		first = false
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// reviveOnce runs under the lock, so that it never races with a release that is just
// retiring the container. It tells whether, and when, to look again.
func (d *Daemon) reviveOnce(ctx context.Context, e daemon.Event, name string, first bool) (again bool, wait time.Duration) {
	c, err := d.Engine.Container(ctx, e.Container)
	if err == nil && c.Running && !first {
		return d.follow(ctx, e)
	}
	if err != nil || c.Running || !d.wanted(ctx, e) {
		return false, 0
	}
	if first {
		wait = d.Containers.Crashes.Delay(e.Container)
		next := "restarting"
		if wait > 0 {
			next = fmt.Sprintf("restarting in %s", wait)
		}
		d.logCrash(ctx, e, fmt.Sprintf("%s exited with code %d; %s", name, e.ExitCode, next))
		if wait > 0 {
			return true, wait
		}
	}
	if err := d.Engine.StartContainer(ctx, e.Container); err != nil {
		d.Log.Error("restart", "container", e.Container, "err", err)
		return true, d.Containers.Crashes.Delay(e.Container)
	}
	if addon := e.Labels[daemon.LabelAddon]; addon != "" {
		d.Life.Go(func(ctx context.Context) { d.followPage(ctx, addon) })
	}
	return d.follow(ctx, e)
}

// followAgain is how soon a restarted process that was not ready in time is looked at
// again. Others get at the app meanwhile.
const followAgain = 5 * time.Second

// follow sees to it that the proxy knows where a restarted process is.
func (d *Daemon) follow(ctx context.Context, e daemon.Event) (again bool, wait time.Duration) {
	err := d.moveTarget(ctx, e)
	if err == nil || ctx.Err() != nil {
		return false, 0
	}
	d.Log.Error("route to restarted process", "container", e.Container, "err", err)
	// If it has ended, that is an event of its own.
	c, err := d.Engine.Container(ctx, e.Container)
	return err == nil && c.Running, followAgain
}

func (d *Daemon) logCrash(ctx context.Context, e daemon.Event, text string) {
	if app := e.Labels[daemon.LabelApp]; app != "" {
		d.Logs.Write(app, "system", d.Containers.ShortName(e.Container), text)
		return
	}
	attached, err := daemon.Read(ctx, d.Store, daemon.Tx.Attachments)
	if err != nil {
		d.Log.Error("log crash", "err", err)
	}
	for _, at := range attached {
		if at.Addon == e.Labels[daemon.LabelAddon] {
			d.Logs.Write(at.App, "addon", at.Addon, text)
		}
	}
}

// wanted tells whether a container belongs to what should run now.
func (d *Daemon) wanted(ctx context.Context, e daemon.Event) bool {
	if name := e.Labels[daemon.LabelAddon]; name != "" {
		addon, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) (daemon.Addon, error) { return tx.Addon(name) })
		return err == nil && addon.Status == daemon.AddonReady && e.Container == d.addonContainer(addon)
	}
	app, err := d.App(ctx, e.Labels[daemon.LabelApp])
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
	others, err := d.Engine.ContainerList(ctx, map[string]string{
		daemon.LabelApp: app.Name, daemon.LabelProcess: e.Labels[daemon.LabelProcess], daemon.LabelIndex: e.Labels[daemon.LabelIndex],
	})
	return err == nil && !slices.ContainsFunc(others, func(c daemon.Container) bool { return c.Running })
}

// moveTarget tells the proxy a restarted web process's new address.
func (d *Daemon) moveTarget(ctx context.Context, e daemon.Event) error {
	app := e.Labels[daemon.LabelApp]
	if e.Labels[daemon.LabelProcess] != "web" || app == "" {
		return nil
	}
	routes, err := d.Router.Routes(ctx)
	if err != nil {
		return err
	}
	for _, r := range routes {
		i := slices.IndexFunc(r.Targets, func(t daemon.Target) bool { return r.App == app && t.ID == e.Container })
		if i < 0 {
			continue
		}
		t, err := d.target(ctx, app, e.Container)
		if err != nil || t.Address == r.Targets[i].Address {
			return err
		}
		r.Targets[i].Address = t.Address
		// One that dies again at once must not hold the app's lock for long.
		ctx, cancel := d.whileRunning(ctx, e.Container)
		defer cancel()
		return d.Router.Deploy(ctx, r)
	}
	return nil
}
