package backups

import (
	"context"

	"towline/daemon"
	"towline/daemon/journal"
)

const opBackupDelete = "backup-delete"

func (bs *Backups) backupDeleteKind() journal.Kind {
	return journal.Kind{Name: opBackupDelete, Text: "the deletion of a backup", Of: journal.OfBackup,
		Steps: []string{"delete"}, Recover: bs.recoverBackupDelete}
}

// Delete removes a backup for good, here and offsite.
func (bs *Backups) Delete(ctx context.Context, id, member string) error {
	unlock, err := bs.Journal.LockAddon(ctx, BackupAddon(id), nil)
	if err != nil {
		return err
	}
	defer unlock()
	b, err := bs.Backup(ctx, id)
	if err != nil {
		return err
	}
	ctx, cancel := bs.Life.Detach(ctx)
	defer cancel()
	op, err := bs.Journal.Begin(ctx, opBackupDelete, b.Addon, member, "delete", backupData{Backup: b.ID}, func(tx daemon.Tx) error {
		return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Text: "deleted the backup " + b.ID})
	})
	if err != nil {
		return err
	}
	return bs.removeBackup(ctx, op, b)
}

// removeBackup goes on where a deletion was cut short.
func (bs *Backups) removeBackup(ctx context.Context, op *journal.Operation, b daemon.Backup) error {
	if v := detailOf(b); bs.Offsite != nil && (v.OffsiteBegun || !v.Offsite.IsZero()) {
		if err := bs.Offsite.Forget(ctx, b.ID); err != nil {
			bs.Addons.Say(ctx, b.Addon, "backup: the copy of %s at %s could not be deleted: %v", b.ID, bs.Offsite.Place(), err)
		}
	}
	if err := bs.Vault.Delete(ctx, b.ID); err != nil {
		return err
	}
	return op.Finish(ctx, func(tx daemon.Tx) error {
		if err := tx.DeleteBackup(b.ID); !daemon.IsKind(err, daemon.NotFound) {
			return err
		}
		return nil
	})
}

// recoverBackupDelete goes on to the end.
func (bs *Backups) recoverBackupDelete(ctx context.Context, op *journal.Operation) error {
	data, err := journal.Decode[backupData](op.Operation)
	if err != nil {
		return err
	}
	b, err := bs.Backup(ctx, data.Backup)
	if err != nil && !daemon.IsKind(err, daemon.NotFound) {
		return err
	}
	b.ID = data.Backup
	return bs.removeBackup(ctx, op, b)
}
