package apps

import (
	"context"

	"towline/daemon"
)

// App returns one app.
func (b *base) App(ctx context.Context, name string) (daemon.App, error) {
	return daemon.Read(ctx, b.Store, func(tx daemon.Tx) (daemon.App, error) { return daemon.FindApp(tx, name) })
}

// AddonVars maps the config vars that belong to add-ons to the add-on's name.
func (b *base) AddonVars(ctx context.Context, app string) (map[string]string, error) {
	attached, err := daemon.Read(ctx, b.Store, daemon.Tx.Attachments)
	owner := map[string]string{}
	for _, at := range attached {
		if at.App == app {
			for _, v := range at.Vars {
				owner[v] = at.Addon
			}
		}
	}
	return owner, err
}

// Releases lists an app's releases, newest first.
func (b *base) Releases(ctx context.Context, app string) ([]daemon.Release, error) {
	return daemon.Read(ctx, b.Store, func(tx daemon.Tx) ([]daemon.Release, error) {
		if _, err := tx.App(app); err != nil {
			return nil, err
		}
		return tx.Releases(app)
	})
}

// Release returns one release; version 0 is the current one.
func (b *base) Release(ctx context.Context, app string, version int) (daemon.Release, error) {
	return daemon.Read(ctx, b.Store, func(tx daemon.Tx) (daemon.Release, error) {
		a, err := tx.App(app)
		if err != nil {
			return daemon.Release{}, err
		}
		if version == 0 {
			version = a.Current
		}
		if version == 0 {
			return daemon.Release{}, daemon.Errorf(daemon.NotFound, "%s has no release yet", app).WithHint("git push towline main")
		}
		return tx.Release(app, version)
	})
}
