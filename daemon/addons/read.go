package addons

import (
	"context"
	"slices"
	"strings"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/plugins"
)

// Addon returns one add-on.
func (b *base) Addon(ctx context.Context, name string) (daemon.Addon, error) {
	return daemon.Read(ctx, b.Store, func(tx daemon.Tx) (daemon.Addon, error) {
		addon, err := tx.Addon(name)
		if daemon.IsKind(err, daemon.NotFound) {
			err = noAddon(name)
		}
		return addon, err
	})
}

func (b *base) Attachments(ctx context.Context, addon string) ([]daemon.AddonAttachment, error) {
	all, err := daemon.Read(ctx, b.Store, daemon.Tx.Attachments)
	return slices.DeleteFunc(all, func(at daemon.AddonAttachment) bool { return at.Addon != addon }), err
}

func noAddon(name string) *daemon.Error {
	return daemon.Errorf(daemon.NotFound, "there is no add-on %q", daemon.Clip(name)).WithHint("towline addons lists them")
}

// readyAddon returns an add-on that can be worked with.
func (b *base) readyAddon(ctx context.Context, name string) (daemon.Addon, error) {
	addon, err := b.Addon(ctx, name)
	if err == nil && addon.Status != daemon.AddonReady {
		err = daemon.Errorf(daemon.Conflict, "%s is %s", name, addon.Status).WithHint("towline addons:info %s", name)
	}
	return addon, err
}

func (b *base) attachment(ctx context.Context, addon, app string) (daemon.AddonAttachment, error) {
	attached, err := b.Attachments(ctx, addon)
	if err != nil {
		return daemon.AddonAttachment{}, err
	}
	for _, at := range attached {
		if at.App == app {
			return at, nil
		}
	}
	return daemon.AddonAttachment{}, daemon.Errorf(daemon.NotFound, "%s is not attached to %s", addon, app).WithHint("towline addons:info %s", addon)
}

// unlessGone is a recovery that has nothing to do once the add-on is gone.
func (b *base) unlessGone(recover func(context.Context, *journal.Operation) error) func(context.Context, *journal.Operation) error {
	return func(ctx context.Context, op *journal.Operation) error {
		if _, err := b.Addon(ctx, op.Subject); daemon.IsKind(err, daemon.NotFound) {
			return op.Finish(ctx)
		}
		return recover(ctx, op)
	}
}

func (b *base) Service(name string) (*plugins.Manifest, error) {
	if m, ok := b.Catalog.Service(name); ok {
		return m, nil
	}
	return nil, daemon.Errorf(daemon.NotFound, "there is no add-on service %q", daemon.Clip(name)).WithHint("there are: %s", strings.Join(b.Catalog.Names(), ", "))
}

func (b *base) AttachedApps(ctx context.Context, addon string) (apps []string, err error) {
	attached, err := b.Attachments(ctx, addon)
	for _, at := range attached {
		apps = append(apps, at.App)
	}
	return apps, err
}
