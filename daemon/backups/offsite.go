package backups

import (
	"context"
	"errors"
	"io"
	"time"

	"towline/daemon"
)

// This file keeps second copies of backups: see Offsite in package daemon.

const (
	offsiteRetry    = time.Second      // after the first failure; then doubling
	offsiteMaxRetry = 10 * time.Minute // between two attempts
	offsiteLoud     = 4                // failures in a row before it is said aloud
)

func (cp *Copies) wakeOffsite() {
	select {
	case cp.wake <- struct{}{}:
	default:
	}
}

// Run copies every good backup offsite, oldest first, until ctx ends. A server
// that is gone is tried again and again, and said aloud after a few failures. What was
// cut short is done again at the next start.
func (cp *Copies) Run(ctx context.Context) {
	if cp.Offsite == nil {
		return
	}
	failures := 0
	for ctx.Err() == nil {
		wait := time.Hour
		b, err := cp.nextOffsite(ctx)
		if err == nil && b.ID != "" {
			wait = 0
			err = daemon.Try("an offsite copy", func() error { return cp.uploadBackup(ctx, b) })
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failures++
			wait = min(offsiteRetry<<min(failures-1, 20), offsiteMaxRetry)
			cp.Log.Error("copy a backup offsite", "backup", b.ID, "err", err)
			if failures == offsiteLoud {
				cp.offsiteFailed(ctx, b, err)
			}
		} else {
			failures = 0
		}
		cp.restOffsite(ctx, wait, failures > 0)
	}
}

// restOffsite waits. A new backup ends that, unless the server is gone.
func (cp *Copies) restOffsite(ctx context.Context, wait time.Duration, gone bool) {
	wake := cp.wake
	if gone {
		wake = nil
	}
	select {
	case <-time.After(wait):
	case <-wake:
	case <-ctx.Done():
	}
}

// nextOffsite is the oldest good backup without an offsite copy; none has no ID.
func (cp *Copies) nextOffsite(ctx context.Context) (next daemon.Backup, err error) {
	all, err := daemon.Read(ctx, cp.Store, func(tx daemon.Tx) ([]daemon.Backup, error) { return tx.Backups("") })
	for _, b := range all {
		if b.Status == daemon.BackupGood && detailOf(b).Offsite.IsZero() {
			next = b
		}
	}
	return next, err
}

func (cp *Copies) uploadBackup(ctx context.Context, b daemon.Backup) error {
	if err := cp.changeBackup(ctx, b.ID, func(v *backupDetail) { v.OffsiteBegun = true }); err != nil {
		return err
	}
	err := cp.Offsite.Upload(ctx, b.ID)
	if _, gone := cp.backups.Backup(ctx, b.ID); daemon.IsKind(gone, daemon.NotFound) { // deleted meanwhile
		return cp.Offsite.Forget(ctx, b.ID)
	}
	if err != nil {
		return err
	}
	return cp.changeBackup(ctx, b.ID, func(v *backupDetail) { v.Offsite, v.OffsiteError = daemon.Now(), "" })
}

// changeBackup edits a record. One that was deleted meanwhile is no error.
func (cp *Copies) changeBackup(ctx context.Context, id string, f func(*backupDetail)) error {
	return cp.Store.Update(ctx, func(tx daemon.Tx) error {
		b, err := tx.Backup(id)
		if daemon.IsKind(err, daemon.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		changeDetail(&b, f)
		return tx.UpdateBackup(b)
	})
}

func (cp *Copies) offsiteFailed(ctx context.Context, b daemon.Backup, cause error) {
	cp.Addons.Say(ctx, b.Addon, "backup: %s could NOT be copied to %s: %v; trying on", b.ID, cp.Offsite.Place(), cause)
	if err := cp.changeBackup(ctx, b.ID, func(v *backupDetail) { v.OffsiteError = cause.Error() }); err != nil {
		cp.Log.Error("record a failed copy", "backup", b.ID, "err", err)
	}
}

// load unpacks a backup; bytes that are gone here are fetched from offsite first.
func (cp *Copies) load(ctx context.Context, b daemon.Backup, part daemon.Part, dirs map[string]string) error {
	err := cp.Vault.Load(ctx, b.ID, part, dirs)
	if cp.fetch(ctx, b, &err) {
		err = cp.Vault.Load(ctx, b.ID, part, dirs)
	}
	return err
}

// open is load for the dump.
func (cp *Copies) open(ctx context.Context, b daemon.Backup, part daemon.Part) (io.ReadCloser, error) {
	r, err := cp.Vault.Open(ctx, b.ID, part)
	if cp.fetch(ctx, b, &err) {
		r, err = cp.Vault.Open(ctx, b.ID, part)
	}
	return r, err
}

// fetch tells whether it has brought back bytes whose absence is the error.
func (cp *Copies) fetch(ctx context.Context, b daemon.Backup, err *error) bool {
	if !daemon.IsKind(*err, daemon.NotFound) || cp.Offsite == nil || detailOf(b).Offsite.IsZero() {
		return false
	}
	if ferr := cp.Offsite.Fetch(ctx, b.ID); ferr != nil {
		*err = errors.Join(*err, daemon.Errorf(daemon.Unavailable, "and it could not be fetched from %s: %w", cp.Offsite.Place(), ferr))
		return false
	}
	return true
}

// OffsiteCopy tells when the offsite copy of a backup was made, or why there is none
// yet. Both are empty where no copies are wanted.
func OffsiteCopy(b daemon.Backup) (at time.Time, problem string) {
	v := detailOf(b)
	return v.Offsite, v.OffsiteError
}

// Download opens the portable dump of a backup, and tells its file name.
func (cp *Copies) Download(ctx context.Context, id string) (io.ReadCloser, string, error) {
	b, err := cp.backups.Backup(ctx, id)
	if err != nil {
		return nil, "", err
	}
	part, name, err := dumpPart(b)
	if err != nil {
		return nil, "", err
	}
	r, err := cp.open(ctx, b, part)
	return r, name, err
}
