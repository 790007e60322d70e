package daemon

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// pauseLimit bounds how long requests wait while a service is replaced.
const pauseLimit = 2 * time.Minute

// Restore puts an add-on's data back: check the sums and unpack beside the present
// data, have the requests of the attached apps wait, stop the service and start it on
// the restored volumes, wait for its probe, let the requests go. If it does not come
// up, the data of before does. Afterwards that data is kept as a backup of its own.
func (d *Daemon) Restore(ctx context.Context, id, member string, out io.Writer) error {
	b, err := d.Backup(ctx, id)
	if err != nil {
		return err
	}
	unlock, err := d.lockAddon(ctx, b.Addon)
	if err != nil {
		return err
	}
	defer unlock()
	addon, err := d.checkRestore(ctx, b)
	if err != nil {
		return err
	}
	ctx, cancel := d.detach(ctx)
	defer cancel()
	next := addon
	next.Generation++
	op, err := d.begin(ctx, opRestore, addon.Name, member, "check", backupData{Backup: b.ID, Generation: next.Generation})
	if err != nil {
		return err
	}
	if err := d.replaceData(ctx, op, addon, next, b, out); err != nil {
		if errors.Is(context.Cause(ctx), errClosing) {
			return errClosing
		}
		return errors.Join(err, d.undoRestore(context.WithoutCancel(ctx), op))
	}
	return d.keepOldData(ctx, op, addon, out)
}

func (d *Daemon) checkRestore(ctx context.Context, b Backup) (Addon, error) {
	addon, err := d.Addon(ctx, b.Addon)
	if err != nil {
		return addon, err
	}
	switch {
	case b.Status != BackupGood:
		return addon, Errorf(Conflict, "backup %s is %s, not good: %s", b.ID, b.Status, b.Error).WithHint("towline backups %s", b.Addon)
	case addon.Status != AddonReady:
		return addon, Errorf(Conflict, "%s is %s", addon.Name, addon.Status)
	case addon.Version != b.Version:
		return addon, Errorf(Conflict, "backup %s is of %s %s, but %s runs %s", b.ID, b.Service, b.Version, addon.Name, addon.Version)
	}
	return addon, nil
}

// replaceData moves the add-on to the next generation.
func (d *Daemon) replaceData(ctx context.Context, op *operation, addon, next Addon, b Backup, out io.Writer) error {
	step(out, "Checking %s", b.ID)
	if err := d.unpackBackup(ctx, next, b); err != nil {
		return err
	}
	if err := op.step(ctx, "replace", nil); err != nil {
		return err
	}
	step(out, "Replacing the data of %s; requests of its apps wait", addon.Name)
	if err := d.pauseApps(ctx, addon.Name); err != nil {
		return err
	}
	if err := d.Engine.StopContainer(ctx, d.addonContainer(addon), stopGrace); err != nil {
		return err
	}
	if err := d.startAddonContainer(ctx, next, out); err != nil {
		return err
	}
	if err := op.step(ctx, "current", nil, func(tx Tx) error { return tx.UpdateAddon(next) }); err != nil {
		return err
	}
	return d.resumeApps(ctx, addon.Name)
}

// unpackBackup fills the volumes of a generation that nothing uses yet.
func (d *Daemon) unpackBackup(ctx context.Context, next Addon, b Backup) error {
	stored, err := b.stored()
	if err != nil {
		return err
	}
	tree := d.backupTree(b.ID)
	if err := os.MkdirAll(tree, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	if err := d.Vault.Load(ctx, b.ID, stored.SHA256, tree); err != nil {
		return err
	}
	spec, err := d.renderAddon(next)
	if err != nil {
		return err
	}
	for _, v := range spec.Volumes {
		name := d.addonVolume(next, v.Name)
		if err := d.Engine.EnsureVolume(ctx, name, addonLabels(next.Name)); err != nil {
			return err
		}
		dst, err := d.Engine.VolumePath(ctx, name)
		if err != nil {
			return err
		}
		if err := d.Vault.Sync(ctx, filepath.Join(tree, v.Name), dst); err != nil {
			return err
		}
	}
	return nil
}

// keepOldData makes a backup of what the restore replaced, then removes it. It holds
// the state of the very moment at which the service was stopped.
func (d *Daemon) keepOldData(ctx context.Context, op *operation, old Addon, out io.Writer) error {
	step(out, "Keeping the data of before as a backup")
	b := Backup{
		ID: backupID(old.Name, now()), Addon: old.Name, Service: old.Service, Version: old.Version,
		Status: BackupGood, Reason: "safety", Created: now(), Facts: "replaced by a restore",
	}
	tree := d.backupTree(b.ID)
	defer os.RemoveAll(tree)
	spec, err := d.renderAddon(old)
	if err != nil {
		return err
	}
	for _, v := range spec.Volumes {
		src, err := d.Engine.VolumePath(ctx, d.addonVolume(old, v.Name))
		if err != nil {
			return err
		}
		dst := filepath.Join(tree, v.Name)
		if err := os.MkdirAll(dst, 0o700); err != nil {
			return err
		}
		if err := d.Vault.Sync(ctx, src, dst); err != nil {
			return err
		}
	}
	stored, err := d.Vault.Store(ctx, b.ID, tree, b)
	if err != nil {
		return err
	}
	b.Size, b.Detail = stored.Size, encode(stored)
	b.Facts, err = d.prove(ctx, old, tree, b.ID)
	b.Finished, b.Proven = now(), now()
	if err != nil {
		b.Status, b.Error, b.Proven = BackupFailed, err.Error(), time.Time{}
	}
	if err := d.removeGeneration(ctx, old); err != nil {
		return err
	}
	return op.finish(ctx, func(tx Tx) error { return tx.InsertBackup(b) })
}

// undoRestore brings the data of before back: the generation that is current.
func (d *Daemon) undoRestore(ctx context.Context, op *operation) error {
	addon, err := d.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	data, err := decode[backupData](op.Operation)
	if err != nil {
		return err
	}
	failed := addon
	failed.Generation = data.Generation
	err = errors.Join(d.removeGeneration(ctx, failed), d.startAddonContainer(ctx, addon, nil), d.resumeApps(ctx, addon.Name))
	return errors.Join(err, op.finish(ctx))
}

// recoverBackup: a capture that was cut short is failed and the service thawed; a
// restore that was not current yet is undone, and else finished.
func (d *Daemon) recoverBackup(ctx context.Context, op *operation) error {
	data, err := decode[backupData](op.Operation)
	if err != nil {
		return err
	}
	addon, err := d.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	if op.Kind == opBackup {
		return d.recoverCapture(ctx, op, addon, data.Backup)
	}
	if op.Step != "current" {
		return d.undoRestore(ctx, op)
	}
	old := addon
	old.Generation = data.Generation - 1
	if err := errors.Join(d.startAddonContainer(ctx, addon, nil), d.resumeApps(ctx, addon.Name)); err != nil {
		return err
	}
	return d.keepOldData(ctx, op, old, nil)
}

func (d *Daemon) recoverCapture(ctx context.Context, op *operation, addon Addon, id string) error {
	c, err := d.Engine.Container(ctx, d.addonContainer(addon))
	if err == nil && c.Paused {
		err = d.Engine.UnpauseContainer(ctx, c.Name)
	}
	if err != nil && !isKind(err, NotFound) {
		return err
	}
	err = d.removeWhere(ctx, map[string]string{labelAddon: addon.Name, labelKind: kindProof}, nil)
	err = errors.Join(err, os.RemoveAll(d.backupTree(id)), d.Vault.Delete(ctx, id))
	if err != nil {
		return err
	}
	return op.finish(ctx, func(tx Tx) error {
		b, err := tx.Backup(id)
		if err != nil {
			return err
		}
		b.Status, b.Finished, b.Error = BackupFailed, now(), "towlined was stopped before the backup was done"
		return tx.UpdateBackup(b)
	})
}

// pauseApps has new requests of the apps attached to an add-on wait.
func (d *Daemon) pauseApps(ctx context.Context, addon string) error {
	attached, err := d.attachments(ctx, addon)
	for _, at := range attached {
		// A request in flight may need the service to end: wait for it, but not long.
		wait, cancel := context.WithTimeout(ctx, 5*time.Second)
		perr := d.Router.Pause(wait, at.App, pauseLimit)
		cancel()
		if perr != nil && !isKind(perr, NotFound) && wait.Err() == nil {
			err = errors.Join(err, perr)
		}
	}
	return err
}

func (d *Daemon) resumeApps(ctx context.Context, addon string) error {
	attached, err := d.attachments(ctx, addon)
	for _, at := range attached {
		if rerr := d.Router.Resume(ctx, at.App); rerr != nil && !isKind(rerr, NotFound) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}
