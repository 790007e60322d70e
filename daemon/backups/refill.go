package backups

import (
	"context"
	"errors"
	"io"

	"towline/daemon"
	"towline/daemon/addons"
)

// Refill fills the volumes of an add-on from a backup and proves them, on a machine whose
// state was restored and on which the add-on does not run yet: before Reconcile. It may be
// cut short and called again.
func (re *Restores) Refill(ctx context.Context, name, backup string, out io.Writer) error {
	unlock, err := re.Journal.LockAddon(ctx, name, out)
	if err != nil {
		return err
	}
	defer unlock()
	addon, err := re.Addons.Addon(ctx, name)
	if err != nil {
		return err
	}
	b, err := re.backups.Backup(ctx, backup)
	if err != nil {
		return err
	}
	running, err := re.Engine.Container(ctx, re.Services.ContainerName(addon))
	if err == nil && running.Running {
		return daemon.Errorf(daemon.Conflict, "%s runs", name).WithHint("towline backups:restore %s --confirm %s", backup, name)
	}
	if err != nil && !errors.Is(err, daemon.ErrNotFound) {
		return err
	}
	from, err := re.source(ctx, RestoreRequest{Backup: backup}, b, addon)
	if err != nil {
		return err
	}
	// An attempt before this one may have been cut short.
	if err := errors.Join(re.removeProofs(ctx, name), re.Services.ClearGeneration(ctx, addon)); err != nil {
		return err
	}
	for _, volume := range re.volumeNames(addon) {
		if err := re.Engine.EnsureVolume(ctx, volume, addons.AddonLabels(name)); err != nil {
			return err
		}
	}
	if err := from.fill(ctx, addon, out); err != nil {
		return err
	}
	return re.proveNext(ctx, addon, from.secrets, out)
}
