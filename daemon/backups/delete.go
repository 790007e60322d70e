package backups

import (
	"context"
	"errors"

	"towline/daemon"
	"towline/daemon/journal"
)

const opBackupDelete = "backup-delete"

func (bs *Backups) backupDeleteKind() journal.Kind {
	return journal.Kind{Name: opBackupDelete, Text: "the deletion of a backup", Of: journal.OfBackup, Background: "forget",
		Steps: []string{"delete", "forget"}, Recover: bs.recoverBackupDelete}
}

// Delete removes a backup for good, here and offsite. The offsite server may take its time, or
// hang: nothing of the add-on waits for it.
func (bs *Backups) Delete(ctx context.Context, id, member string) error {
	ctx, cancel := bs.Life.Detach(ctx)
	defer cancel()
	op, err := bs.deleteHere(ctx, id, member)
	if err != nil || op == nil {
		return err
	}
	return bs.forgetCopy(ctx, op, id)
}

// deleteHere does what takes the add-on's lock, and returns the operation if there is an offsite
// copy to be deleted.
func (bs *Backups) deleteHere(ctx context.Context, id, member string) (*journal.Operation, error) {
	unlock, err := bs.Journal.LockAddon(ctx, BackupAddon(id), nil)
	if err != nil {
		return nil, err
	}
	defer unlock()
	b, err := bs.Backup(ctx, id)
	if err != nil {
		return nil, err
	}
	event := daemon.Activity{Member: member}
	if member != "" || !daemon.CallerOf(ctx).Began.IsZero() { // else a schedule keeps no more
		event = daemon.Activity{Kind: daemon.BackupDeleted, Member: member, App: b.App, Subject: b.ID, Text: "deleted the backup " + b.ID}
	}
	op, err := bs.Journal.Begin(ctx, opBackupDelete, b.Addon, event, "delete", backupData{Backup: b.ID})
	if err != nil {
		return nil, err
	}
	return bs.removeBackup(ctx, op, b)
}

// removeBackup goes on where a deletion was cut short, up to the offsite copy.
func (bs *Backups) removeBackup(ctx context.Context, op *journal.Operation, b daemon.Backup) (*journal.Operation, error) {
	if err := bs.Vault.Delete(ctx, b.ID); err != nil {
		return nil, err
	}
	gone := func(tx daemon.Tx) error {
		if err := tx.DeleteBackup(b.ID); !daemon.IsKind(err, daemon.NotFound) {
			return err
		}
		return nil
	}
	if v := detailOf(b); bs.Offsite == nil || !v.OffsiteBegun && v.Offsite.IsZero() {
		return nil, op.Finish(ctx, gone, op.Done)
	}
	return op, op.Next(ctx, "forget", nil, gone, op.Done)
}

// forgetCopy deletes the offsite copy. One that can't be is said, and stays there.
func (bs *Backups) forgetCopy(ctx context.Context, op *journal.Operation, id string) error {
	if bs.Offsite != nil {
		err := bs.Offsite.Forget(ctx, id)
		if err != nil && errors.Is(context.Cause(ctx), daemon.ErrClosing) {
			return daemon.ErrClosing // the next start does it
		}
		if err != nil {
			bs.Addons.Say(ctx, op.Subject, "backup: the copy of %s at %s could not be deleted: %v", id, bs.Offsite.Place(), err)
		}
	}
	return op.Finish(ctx)
}

// recoverBackupDelete goes on to the end; what is offsite goes in the background.
func (bs *Backups) recoverBackupDelete(ctx context.Context, op *journal.Operation) error {
	data, err := journal.Decode[backupData](op.Operation)
	if err != nil {
		return err
	}
	if op.Step == "delete" {
		b, err := bs.Backup(ctx, data.Backup)
		if err != nil && !daemon.IsKind(err, daemon.NotFound) {
			return err
		}
		b.ID = data.Backup
		if op, err = bs.removeBackup(ctx, op, b); err != nil || op == nil {
			return err
		}
	}
	bs.Life.Go(func(ctx context.Context) {
		if err := bs.forgetCopy(ctx, op, data.Backup); err != nil && ctx.Err() == nil {
			bs.Log.Error("delete the offsite copy of a backup", "backup", data.Backup, "err", err)
		}
	})
	return nil
}
