package machine

import (
	"context"

	"towline/daemon"
	"towline/daemon/people"
)

// AllowedAddon fails unless the member may do p with the app that owns the add-on.
func (d *Daemon) AllowedAddon(ctx context.Context, member, name string, p daemon.Permission) error {
	addon, err := d.Addon(ctx, name)
	if err != nil {
		return err
	}
	ok, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) (bool, error) { return people.May(tx, member, addon.App, p) })
	if err != nil || ok {
		return err
	}
	if err := d.SeesAddon(ctx, member, name); err != nil {
		return err
	}
	err = d.People.Allowed(ctx, member, addon.App, daemon.View)
	if daemon.IsKind(err, daemon.NotFound) {
		return daemon.Errorf(daemon.Forbidden, "%s belongs to another app, which you may not %s", name, p).WithHint("ask an administrator: towline members")
	}
	return daemon.Errorf(daemon.Forbidden, "you may not %s %s, which owns %s", p, addon.App, name).
		WithHint("ask someone who may manage it: towline apps:info -a %s", addon.App)
}

// SeesAddon fails unless the member may view the app that owns the add-on, or one that it is
// attached to.
func (d *Daemon) SeesAddon(ctx context.Context, member, name string) error {
	addon, err := d.Addon(ctx, name)
	if err != nil {
		return err
	}
	visible, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) (bool, error) {
		attached, err := tx.Attachments()
		if err != nil {
			return false, err
		}
		_, visible, err := infoFor(tx, member, addon, attached)
		return visible, err
	})
	if err == nil && !visible {
		err = noAddon(name)
	}
	return err
}

func noAddon(name string) *daemon.Error {
	return daemon.Errorf(daemon.NotFound, "there is no add-on %q", daemon.Clip(name)).WithHint("towline addons lists them")
}
