package backups

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"time"

	"towline/daemon"
	"towline/daemon/work"
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
func (bs *Backups) snapshot(ctx context.Context, addon daemon.Addon, b *daemon.Backup) (dirs map[string]string, err error) {
	spec, err := bs.Services.Render(addon)
	if err != nil {
		return nil, err
	}
	volumes, err := bs.volumeDirs(ctx, addon)
	if err != nil {
		return nil, err
	}
	dirs, pairs := map[string]string{}, map[string]string{}
	for name, src := range volumes {
		dirs[name] = filepath.Join(bs.backupTree(b.ID), name)
		pairs[src] = dirs[name]
		if err := os.MkdirAll(dirs[name], 0o700); err != nil {
			return nil, err
		}
	}
	mirror := bs.Vault.Mirror(pairs)
	if err := bs.copyLive(ctx, addon, mirror); err != nil {
		return nil, err
	}
	container := bs.Services.ContainerName(addon)
	defer func() {
		err = errors.Join(err, bs.Life.Outlast(ctx, nil, func(ctx context.Context) error {
			return work.Thrice(ctx, func() error { return bs.thawed(ctx, container, spec) })
		}))
	}()
	if len(spec.Snapshot.Command) > 0 {
		if _, err := bs.Services.Exec(ctx, container, spec.Snapshot); err != nil {
			return nil, err
		}
	}
	begin, err := bs.freeze(ctx, addon)
	if err != nil {
		return nil, errors.Join(err, bs.thaw(ctx, addon)) // Podman may have done it and not lived to say so
	}
	changeDetail(b, func(v *backupDetail) { v.AsOf = begin.UTC() })
	bs.Journal.Reached("backup:frozen")
	err = daemon.Try("a copy", func() error { // whatever happens, the service goes on
		_, err := mirror.Pass(ctx, true)
		return err
	})
	err = errors.Join(err, bs.thaw(ctx, addon))
	b.Stall = time.Since(begin)
	bs.Journal.Reached("backup:frozen:done")
	return dirs, err
}

// freeze stops the service where it is, and says since when.
func (bs *Backups) freeze(ctx context.Context, addon daemon.Addon) (since time.Time, err error) {
	container := bs.Services.ContainerName(addon)
	for deadline := time.Now().Add(freezeWithin); ; {
		since = time.Now()
		if err = bs.Engine.PauseContainer(ctx, container); err == nil {
			return since, nil
		}
		c, cerr := bs.Engine.Container(ctx, container)
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
// die here, the next start does it.
func (bs *Backups) thaw(ctx context.Context, addon daemon.Addon) error {
	container := bs.Services.ContainerName(addon)
	for wait := freezeAgain; ; wait = min(2*wait, time.Second) {
		err := bs.Engine.UnpauseContainer(context.WithoutCancel(ctx), container)
		if err == nil {
			return nil
		}
		c, cerr := bs.Engine.Container(context.WithoutCancel(ctx), container)
		switch {
		case daemon.IsKind(cerr, daemon.NotFound):
			return err
		case cerr == nil && !c.Paused && !c.Running:
			return daemon.Errorf(daemon.Failed, "%s ended with exit code %d while it was frozen", addon.Name, c.ExitCode).WithHint("towline addons:logs %s", addon.Name)
		case cerr == nil && !c.Paused:
			return nil
		}
		if wait == freezeAgain {
			bs.Addons.Say(ctx, addon.Name, "%s stands still for a backup, and Podman does not let it go on; asking again: %v", addon.Name, err)
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
func (bs *Backups) thawed(ctx context.Context, container string, spec plugins.Spec) error {
	if len(spec.Thawed.Command) == 0 {
		return nil
	}
	c, err := bs.Engine.Container(ctx, container)
	if daemon.IsKind(err, daemon.NotFound) || err == nil && !c.Running {
		return nil
	}
	if err == nil {
		_, err = bs.Services.Exec(ctx, container, spec.Thawed)
	}
	if err != nil {
		return daemon.Errorf(daemon.Failed, "after the copy: %w", err)
	}
	return nil
}

// copyLive copies while the service runs, until little has changed since the pass
// before.
func (bs *Backups) copyLive(ctx context.Context, addon daemon.Addon, mirror daemon.Mirror) error {
	defer bs.keepUp(ctx, addon)()
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
func (bs *Backups) keepUp(ctx context.Context, addon daemon.Addon) (stop func()) {
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
			c, err := bs.Engine.Container(ctx, bs.Services.ContainerName(addon))
			if err != nil || c.Running || c.Paused {
				continue
			}
			wait = max(wait, bs.Containers.Crashes.Delay(c.Name)) // before the next, if it dies again
			bs.Addons.Say(ctx, addon.Name, "%s exited with code %d during a backup; restarting", addon.Name, c.ExitCode)
			if err := bs.Engine.StartContainer(ctx, c.Name); err != nil && ctx.Err() == nil {
				bs.Log.Error("restart", "container", c.Name, "err", err)
			}
		}
	}()
	return func() { cancel(); <-done }
}
