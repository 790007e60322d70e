package machine

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"time"

	"towline/daemon"
	"towline/plugins"
)

const (
	// maxPasses bounds the copies made while the service runs.
	maxPasses = 6
	// fewBytes are read in a blink: once no more has changed, it is time to freeze.
	fewBytes = 32 << 20
	// A process that waits for its disk cannot be frozen before it has what it waits
	// for; the kernel gives up sooner than a slow disk.
	freezeWithin = 15 * time.Second
	freezeAgain  = 20 * time.Millisecond
)

// snapshot copies the volumes, each below a folder of its name, and sets how long the
// service was frozen. The copies equal what the volumes held in that time.
func (d *Daemon) snapshot(ctx context.Context, addon daemon.Addon, b *daemon.Backup) (dirs map[string]string, err error) {
	spec, err := d.renderAddon(addon)
	if err != nil {
		return nil, err
	}
	volumes, err := d.volumeDirs(ctx, addon)
	if err != nil {
		return nil, err
	}
	dirs, pairs := map[string]string{}, map[string]string{}
	for name, src := range volumes {
		dirs[name] = filepath.Join(d.backupTree(b.ID), name)
		pairs[src] = dirs[name]
		if err := os.MkdirAll(dirs[name], 0o700); err != nil {
			return nil, err
		}
	}
	mirror := d.Vault.Mirror(pairs)
	if err := d.copyLive(ctx, addon, mirror); err != nil {
		return nil, err
	}
	container := d.addonContainer(addon)
	defer func() { err = errors.Join(err, d.thawed(context.WithoutCancel(ctx), container, spec)) }()
	if len(spec.Snapshot.Command) > 0 {
		if _, err := d.execIn(ctx, container, spec.Snapshot); err != nil {
			return nil, err
		}
	}
	begin, err := d.freeze(ctx, addon)
	if err != nil {
		return nil, errors.Join(err, d.thaw(ctx, addon)) // Podman may have done it and not lived to say so
	}
	changeDetail(b, func(v *backupDetail) { v.AsOf = begin.UTC() })
	d.Journal.Reached("backup:frozen")
	err = daemon.Try("a copy", func() error { // whatever happens, the service goes on
		_, err := mirror.Pass(ctx, true)
		return err
	})
	err = errors.Join(err, d.thaw(ctx, addon))
	b.Stall = time.Since(begin)
	d.Journal.Reached("backup:frozen:done")
	return dirs, err
}

// freeze stops the service where it is, and says since when.
func (d *Daemon) freeze(ctx context.Context, addon daemon.Addon) (since time.Time, err error) {
	container := d.addonContainer(addon)
	for deadline := time.Now().Add(freezeWithin); ; {
		since = time.Now()
		if err = d.Engine.PauseContainer(ctx, container); err == nil {
			return since, nil
		}
		c, cerr := d.Engine.Container(ctx, container)
		switch {
		case cerr == nil && c.Paused:
			return since, nil
		case cerr == nil && !c.Running:
			return since, daemon.Errorf(daemon.Failed, "%s ended with exit code %d while it was copied", addon.Name, c.ExitCode).WithHint("towline addons:logs %s", addon.Name)
		case cerr != nil || time.Now().After(deadline):
			return since, err
		}
		select {
		case <-time.After(freezeAgain):
		case <-ctx.Done():
			return since, ctx.Err()
		}
	}
}

// thaw lets a service go on, whatever happened: Podman is asked until it does so. If we
// die here, reconcile does it.
func (d *Daemon) thaw(ctx context.Context, addon daemon.Addon) error {
	container := d.addonContainer(addon)
	for wait := freezeAgain; ; wait = min(2*wait, time.Second) {
		err := d.Engine.UnpauseContainer(context.WithoutCancel(ctx), container)
		if err == nil {
			return nil
		}
		c, cerr := d.Engine.Container(context.WithoutCancel(ctx), container)
		switch {
		case daemon.IsKind(cerr, daemon.NotFound):
			return err
		case cerr == nil && !c.Paused && !c.Running:
			return daemon.Errorf(daemon.Failed, "%s ended with exit code %d while it was frozen", addon.Name, c.ExitCode).WithHint("towline addons:logs %s", addon.Name)
		case cerr == nil && !c.Paused:
			return nil
		}
		if wait == freezeAgain {
			d.sayAddon(ctx, addon.Name, "%s stands still for a backup, and Podman does not let it go on; asking again: %v", addon.Name, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// thawed undoes what the manifest's preparation for a snapshot did to a service that
// runs. One that does not has forgotten it.
func (d *Daemon) thawed(ctx context.Context, container string, spec plugins.Spec) error {
	if len(spec.Thawed.Command) == 0 {
		return nil
	}
	if c, err := d.Engine.Container(ctx, container); err != nil || !c.Running {
		return nil
	}
	if _, err := d.execIn(ctx, container, spec.Thawed); err != nil {
		return daemon.Errorf(daemon.Failed, "after the copy: %w", err)
	}
	return nil
}

// copyLive copies while the service runs, until little has changed since the pass
// before.
func (d *Daemon) copyLive(ctx context.Context, addon daemon.Addon, mirror daemon.Mirror) error {
	defer d.keepUp(ctx, addon)()
	before := int64(math.MaxInt64)
	for range maxPasses {
		pass, err := mirror.Pass(ctx, false)
		if err != nil {
			return err
		}
		if pass.Read <= fewBytes || pass.Read > before-before/4 {
			break
		}
		before = pass.Read
	}
	return nil
}

// keepUp starts the service again when it dies, until stop is called: its supervisor
// waits for the lock that a backup holds.
func (d *Daemon) keepUp(ctx context.Context, addon daemon.Addon) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer daemon.Contain("the watch over an add-on that is backed up", nil)
		for wait := time.Second; ; {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			wait = time.Second
			c, err := d.Engine.Container(ctx, d.addonContainer(addon))
			if err != nil || c.Running || c.Paused {
				continue
			}
			wait = max(wait, d.Containers.Crashes.Delay(c.Name)) // before the next, if it dies again
			d.sayAddon(ctx, addon.Name, "%s exited with code %d during a backup; restarting", addon.Name, c.ExitCode)
			if err := d.Engine.StartContainer(ctx, c.Name); err != nil && ctx.Err() == nil {
				d.Log.Error("restart", "container", c.Name, "err", err)
			}
		}
	}()
	return func() { cancel(); <-done }
}
