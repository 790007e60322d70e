package build

import (
	"cmp"
	"context"
	"os"
	"slices"
	"time"

	"towline/daemon"
	"towline/daemon/disk"
)

// Room bounds what builds take of the disk.
type Room struct {
	// Dirs are on the disks that builds write to: that of the caches, that of the engine's
	// images, for which the engine may have to be asked. Builds leave Reserve free on each,
	// in bytes: the database and the add-ons write there too.
	Dirs    func(ctx context.Context) []string
	Reserve int64
	// Cache is what the caches of all apps may take together, in bytes; 0: no bound.
	Cache int64
}

// makeRoom refuses a build that would find less than the reserve. Before that all caches of
// other apps go, which cost them one slow build.
func (b *Builder) makeRoom(ctx context.Context, app string) error {
	short, err := b.Short(ctx)
	if err != nil || short == "" {
		return err
	}
	if err := b.trim(ctx, 0, app); err != nil {
		return err
	}
	if short, err = b.Short(ctx); err != nil || short == "" {
		return err
	}
	return daemon.Errorf(daemon.Conflict, "the disk of %s has less free than builds have to leave, so that nothing that runs suffers", short).
		WithHint("what serves serves on; an administrator sees who holds what by towline host:disk")
}

// Short is a directory whose disk has less than the reserve; empty: none has.
func (b *Builder) Short(ctx context.Context) (string, error) {
	for _, dir := range b.dirs(ctx) {
		free, err := disk.Free(dir)
		if err != nil {
			return "", err
		}
		if free < b.options.Room.Reserve {
			return dir, nil
		}
	}
	return "", nil
}

func (b *Builder) dirs(ctx context.Context) []string {
	if b.options.Room.Dirs == nil {
		return nil
	}
	return b.options.Room.Dirs(ctx)
}

// trim removes the caches of the apps that were not built for longest, until all of them
// take no more than budget. That of except, which is being built, stays, and so does any
// other that is.
func (b *Builder) trim(ctx context.Context, budget int64, except string) error {
	total, err := disk.Usage(ctx, b.options.Dir)
	if err != nil || total <= budget {
		return err
	}
	entries, err := os.ReadDir(b.path("apps"))
	if err != nil {
		return err
	}
	type cache struct {
		app  string
		used time.Time
	}
	var caches []cache
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Name() != except {
			caches = append(caches, cache{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(caches, func(a, b cache) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.app, b.app)) })
	for _, c := range caches {
		if !b.apps.TryLock(c.app) {
			continue
		}
		err := b.forget(c.app)
		b.apps.Unlock(c.app)
		if err != nil {
			return err
		}
		if total, err = disk.Usage(ctx, b.options.Dir); err != nil || total <= budget {
			return err
		}
	}
	return nil
}

// touch notes that an app is built now.
func (b *Builder) touch(app string) {
	now := time.Now()
	_ = os.Chtimes(b.path("apps", app), now, now) // its first build makes it
}

// TryLock takes the lock of key if it is free.
func (k *keyedMutex) TryLock(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, held := k.held[key]; held {
		return false
	}
	if k.held == nil {
		k.held = map[string]chan struct{}{}
	}
	k.held[key] = make(chan struct{})
	return true
}
