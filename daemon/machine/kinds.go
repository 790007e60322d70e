package machine

import (
	"context"

	"towline/daemon"
	"towline/daemon/journal"
)

// allKinds are all kinds of operation: begin takes no other.
func (d *Daemon) allKinds() []journal.Kind {
	return []journal.Kind{
		d.deployKind(), d.releaseKind(), d.rollKind(), d.destroyKind(), d.runKind(),
		d.provisionKind(), d.deprovisionKind(), d.attachKind(), d.detachKind(), d.bounceKind(), d.rotateKind(), d.upgradeKind(),
		d.backupKind(), d.backupDeleteKind(), d.restoreKind(), d.rollbackKind(),
		d.conformKind(),
	}
}

// unlessGone is a recovery that has nothing to do once the add-on is gone.
func (d *Daemon) unlessGone(recover func(context.Context, *journal.Operation) error) func(context.Context, *journal.Operation) error {
	return func(ctx context.Context, op *journal.Operation) error {
		if _, err := d.Addon(ctx, op.Subject); daemon.IsKind(err, daemon.NotFound) {
			return op.Finish(ctx)
		}
		return recover(ctx, op)
	}
}
