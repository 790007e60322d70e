package addons

import (
	"context"

	"towline/daemon"
	"towline/daemon/people"
)

// AllowedAddon fails unless the member may do p with the app that owns the add-on.
func (ad *Addons) AllowedAddon(ctx context.Context, member, name string, p daemon.Permission) error {
	addon, err := ad.Addon(ctx, name)
	if err != nil {
		return err
	}
	ok, err := daemon.Read(ctx, ad.Store, func(tx daemon.Tx) (bool, error) { return people.May(tx, member, addon.App, p) })
	if err != nil || ok {
		return err
	}
	if err := ad.SeesAddon(ctx, member, name); err != nil {
		return err
	}
	err = ad.People.Allowed(ctx, member, addon.App, daemon.View)
	if daemon.IsKind(err, daemon.NotFound) {
		return daemon.Errorf(daemon.Forbidden, "%s belongs to another app, which you may not %s", name, p).WithHint("ask an administrator: towline members")
	}
	return daemon.Errorf(daemon.Forbidden, "you may not %s %s, which owns %s", p, addon.App, name).
		WithHint("ask someone who may manage it: towline apps:info -a %s", addon.App)
}

// SeesAddon fails unless the member may view the app that owns the add-on, or one that it is
// attached to.
func (ad *Addons) SeesAddon(ctx context.Context, member, name string) error {
	addon, err := ad.Addon(ctx, name)
	if err != nil {
		return err
	}
	visible, err := daemon.Read(ctx, ad.Store, func(tx daemon.Tx) (bool, error) {
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
