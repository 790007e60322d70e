package backups

import (
	"context"

	"towline/daemon"
	"towline/daemon/people"
)

// AllowedBackup returns the backup, and fails unless the member may do p with the app that
// owned its add-on. A later add-on of the same name, of another app, gives no right to it.
func (bs *Backups) AllowedBackup(ctx context.Context, member, id string, p daemon.Permission) (daemon.Backup, error) {
	b, err := bs.Backup(ctx, id)
	if err != nil {
		return b, err
	}
	view, may := false, false
	err = bs.Store.View(ctx, func(tx daemon.Tx) (err error) {
		if view, err = people.May(tx, member, b.App, daemon.View); err != nil {
			return err
		}
		if may, err = people.May(tx, member, b.App, p); err != nil {
			return err
		}
		return bs.hideFrom(&b, tx, member)
	})
	switch {
	case err != nil || may:
		return b, err
	case view:
		return b, daemon.Errorf(daemon.Forbidden, "you may not %s %s, which owns the backups of %s", p, b.App, b.Addon).
			WithHint("ask someone who may manage it: towline apps:info -a %s", b.App)
	}
	return b, daemon.Errorf(daemon.NotFound, "there is no backup %q", daemon.Clip(id)).WithHint("towline backups lists them")
}
