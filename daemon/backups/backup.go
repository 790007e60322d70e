package backups

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
)

// backupData is what a recovery must know of a capture, a restore or a deletion that was
// cut short.
type backupData struct {
	Backup     string `json:"backup"`
	Generation int    `json:"generation,omitempty"` // that a restore fills
	Safety     string `json:"safety,omitempty"`     // backup of what a restore replaced
	Of         dataOf `json:"of,omitzero"`          // whose data that is
}

const opBackup = "backup"

func (bs *Backups) backupKind() journal.Kind {
	return journal.Kind{Name: opBackup, Text: "a backup", Of: journal.OfBackup,
		Steps: []string{"capture", "store", "prove"}, Recover: bs.recoverCapture}
}

// Capture is journey 4: copy the volumes while the service runs, freeze it, copy what
// has changed since, thaw; store the copy; prove it by starting a throwaway container
// on it. Clients see a pause, never an error. The backup is good only once proven; one
// that is not is kept, as failed, for inspection.
func (bs *Backups) Capture(ctx context.Context, name, member, reason string, out io.Writer) (daemon.Backup, error) {
	return bs.captureOf(ctx, name, member, reason, dataOf{}, out)
}

// SafetyBackup is a Capture of data that is about to be replaced.
func (bs *Backups) SafetyBackup(ctx context.Context, addon, member string, out io.Writer) error {
	_, err := bs.Capture(ctx, addon, member, daemon.ReasonSafety, out)
	return err
}

func (bs *Backups) captureOf(ctx context.Context, name, member, reason string, of dataOf, out io.Writer) (daemon.Backup, error) {
	unlock, err := bs.Journal.LockAddon(ctx, name, out)
	if err != nil {
		return daemon.Backup{}, err
	}
	defer unlock()
	addon, err := bs.Addons.Addon(ctx, name)
	if err != nil {
		return daemon.Backup{}, err
	}
	if addon.Status != daemon.AddonReady {
		return daemon.Backup{}, daemon.Errorf(daemon.Conflict, "%s is %s", name, addon.Status)
	}
	if err := bs.roomForBackup(ctx, addon); err != nil {
		return daemon.Backup{}, err
	}
	ctx, cancel := bs.Life.Detach(ctx)
	defer cancel()
	b := newBackup(addon, reason)
	changeDetail(&b, func(v *backupDetail) { v.Of = of })
	event := daemon.Activity{Member: member}
	if reason == daemon.ReasonManual { // the others are part of something that has an event, or a schedule's
		event = daemon.Activity{Kind: daemon.BackupCaptured, Member: member, App: addon.App, Subject: b.ID, Text: "took the backup " + b.ID, Undo: "backups:delete " + b.ID}
	}
	op, err := bs.Journal.Begin(ctx, opBackup, name, event, "capture", backupData{Backup: b.ID}, func(tx daemon.Tx) error { return tx.InsertBackup(b) })
	if err != nil {
		return daemon.Backup{}, err
	}
	err = daemon.Try("a backup", func() error { return bs.capture(ctx, op, addon, &b, out) })
	if errors.Is(context.Cause(ctx), daemon.ErrClosing) {
		return b, daemon.ErrClosing
	}
	err = bs.explainFull(ctx, err)
	ctx = context.WithoutCancel(ctx)
	b.Finished, b.Status = daemon.Now(), daemon.BackupGood
	if err != nil {
		b.Status, b.Error = daemon.BackupFailed, err.Error()
	}
	if parts := detailOf(b).Parts; len(parts) > 0 {
		err = errors.Join(err, bs.Vault.Describe(ctx, b.ID, plain(b), parts...))
	}
	err = errors.Join(err, os.RemoveAll(bs.backupTree(b.ID)), bs.Ballast.Insist(bs.Life.Closing(), func() error {
		return op.Finish(ctx, func(tx daemon.Tx) error {
			if b.Status == daemon.BackupGood {
				return errors.Join(tx.UpdateBackup(b), op.Done(tx))
			}
			return tx.UpdateBackup(b)
		})
	}))
	bs.copies.wakeOffsite()
	return b, err
}

func (bs *Backups) capture(ctx context.Context, op *journal.Operation, addon daemon.Addon, b *daemon.Backup, out io.Writer) error {
	work.Stage(out, "Copying %s", addon.Name)
	dirs, err := bs.snapshot(ctx, addon, b)
	if err != nil {
		return err
	}
	defer bs.keepUp(ctx, addon)()
	if err := op.Next(ctx, "store", nil); err != nil {
		return err
	}
	work.Stage(out, "Storing; the service stood still for %s", b.Stall.Round(time.Millisecond))
	part, err := bs.Vault.Store(ctx, b.ID, dirs, plain(*b))
	if err != nil {
		return err
	}
	addPart(b, part)
	if err := op.Next(ctx, "prove", nil, func(tx daemon.Tx) error { return tx.UpdateBackup(*b) }); err != nil {
		return err
	}
	work.Stage(out, "Proving it in a throwaway container")
	if err := bs.proofs.proveBackup(ctx, addon, dirs, b); err != nil {
		return err
	}
	if b.Facts != "" {
		work.Stage(out, "Found %s", b.Facts)
	}
	return nil
}

// volumeDirs are the directories of an add-on's volumes on the host, by name.
func (bs *Backups) volumeDirs(ctx context.Context, addon daemon.Addon) (map[string]string, error) {
	spec, err := bs.Services.Render(addon)
	if err != nil {
		return nil, err
	}
	dirs := map[string]string{}
	for _, v := range spec.Volumes {
		if dirs[v.Name], err = bs.Engine.VolumePath(ctx, bs.Services.VolumeName(addon, v.Name)); err != nil {
			return nil, err
		}
	}
	return dirs, nil
}

// backupTree is where a copy is while it is made and proven.
func (bs *Backups) backupTree(id string) string { return work.Dir(bs.Dir, "backup-"+id) }

// recoverCapture: the backup is failed, and the service thawed. Backups outlive their add-on.
func (bs *Backups) recoverCapture(ctx context.Context, op *journal.Operation) error {
	data, err := journal.Decode[backupData](op.Operation)
	if err != nil {
		return err
	}
	id := data.Backup
	addon, err := bs.Addons.Addon(ctx, op.Subject)
	if err != nil && !daemon.IsKind(err, daemon.NotFound) {
		return err
	}
	addon.Name = op.Subject
	c, err := bs.Engine.Container(ctx, bs.Services.ContainerName(addon))
	if err == nil && c.Paused {
		err = bs.Engine.UnpauseContainer(ctx, c.Name)
	}
	if err != nil && !daemon.IsKind(err, daemon.NotFound) {
		return err
	}
	if spec, err := bs.Services.Render(addon); err == nil {
		if err := bs.thawed(ctx, c.Name, spec); err != nil {
			bs.Log.Error("undo the preparation of a snapshot", "addon", addon.Name, "err", err)
		}
	}
	err = errors.Join(bs.restores.removeProofs(ctx, addon.Name), os.RemoveAll(bs.backupTree(id)), bs.Vault.Delete(ctx, id))
	if err != nil {
		return err
	}
	b, err := bs.Backup(ctx, id)
	if err != nil {
		return err
	}
	b.Status, b.Finished, b.Error = daemon.BackupFailed, daemon.Now(), "towlined was stopped before the backup was done"
	b.Size, b.Detail = 0, nil
	if err := op.Finish(ctx, func(tx daemon.Tx) error { return tx.UpdateBackup(b) }); err != nil {
		return err
	}
	bs.Addons.Say(ctx, addon.Name, "backup: FAILED: %s: %s", b.ID, b.Error)
	return nil
}
