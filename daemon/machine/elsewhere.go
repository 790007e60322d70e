package machine

import (
	"context"
	"errors"
	"io"
	"time"

	"towline/daemon"
)

// This file keeps second copies of backups elsewhere: see Offsite in ports.go.

const (
	offsiteRetry    = time.Second      // after the first failure; then doubling
	offsiteMaxRetry = 10 * time.Minute // between two attempts
	offsiteLoud     = 4                // failures in a row before it is said aloud
)

func (d *Daemon) wakeOffsite() {
	select {
	case d.offsite <- struct{}{}:
	default:
	}
}

// RunOffsite copies every good backup elsewhere, oldest first, until ctx ends. A server
// that is gone is tried again and again, and said aloud after a few failures. What was
// cut short is done again at the next start.
func (d *Daemon) RunOffsite(ctx context.Context) {
	if d.Offsite == nil {
		return
	}
	failures := 0
	for ctx.Err() == nil {
		wait := time.Hour
		b, err := d.nextOffsite(ctx)
		if err == nil && b.ID != "" {
			wait = 0
			err = daemon.Try("a copy elsewhere", func() error { return d.uploadBackup(ctx, b) })
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failures++
			wait = min(offsiteRetry<<min(failures-1, 20), offsiteMaxRetry)
			d.Log.Error("copy a backup elsewhere", "backup", b.ID, "err", err)
			if failures == offsiteLoud {
				d.offsiteFailed(ctx, b, err)
			}
		} else {
			failures = 0
		}
		d.restOffsite(ctx, wait, failures > 0)
	}
}

// restOffsite waits. A new backup ends that, unless the server is gone.
func (d *Daemon) restOffsite(ctx context.Context, wait time.Duration, gone bool) {
	wake := d.offsite
	if gone {
		wake = nil
	}
	select {
	case <-time.After(wait):
	case <-wake:
	case <-ctx.Done():
	}
}

// nextOffsite is the oldest good backup without a copy elsewhere; none has no ID.
func (d *Daemon) nextOffsite(ctx context.Context) (next daemon.Backup, err error) {
	all, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) ([]daemon.Backup, error) { return tx.Backups("") })
	for _, b := range all {
		if b.Status == daemon.BackupGood && detailOf(b).Offsite.IsZero() {
			next = b
		}
	}
	return next, err
}

func (d *Daemon) uploadBackup(ctx context.Context, b daemon.Backup) error {
	if err := d.Offsite.Upload(ctx, b.ID); err != nil {
		return err
	}
	return d.changeBackup(ctx, b.ID, func(v *backupDetail) { v.Offsite, v.OffsiteError = daemon.Now(), "" })
}

// changeBackup edits a record. One that was deleted meanwhile is no error.
func (d *Daemon) changeBackup(ctx context.Context, id string, f func(*backupDetail)) error {
	return d.Store.Update(ctx, func(tx daemon.Tx) error {
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

func (d *Daemon) offsiteFailed(ctx context.Context, b daemon.Backup, cause error) {
	d.sayAddon(ctx, b.Addon, "backup: %s could NOT be copied to %s: %v; trying on", b.ID, d.Offsite.Place(), cause)
	if err := d.changeBackup(ctx, b.ID, func(v *backupDetail) { v.OffsiteError = cause.Error() }); err != nil {
		d.Log.Error("record a failed copy", "backup", b.ID, "err", err)
	}
}

// load unpacks a backup; bytes that are gone here are fetched from elsewhere first.
func (d *Daemon) load(ctx context.Context, b daemon.Backup, part daemon.Part, dirs map[string]string) error {
	err := d.Vault.Load(ctx, b.ID, part, dirs)
	if d.fetch(ctx, b, &err) {
		err = d.Vault.Load(ctx, b.ID, part, dirs)
	}
	return err
}

// open is load for the dump.
func (d *Daemon) open(ctx context.Context, b daemon.Backup, part daemon.Part) (io.ReadCloser, error) {
	r, err := d.Vault.Open(ctx, b.ID, part)
	if d.fetch(ctx, b, &err) {
		r, err = d.Vault.Open(ctx, b.ID, part)
	}
	return r, err
}

// fetch tells whether it has brought back bytes whose absence is the error.
func (d *Daemon) fetch(ctx context.Context, b daemon.Backup, err *error) bool {
	if !daemon.IsKind(*err, daemon.NotFound) || d.Offsite == nil || detailOf(b).Offsite.IsZero() {
		return false
	}
	if ferr := d.Offsite.Fetch(ctx, b.ID); ferr != nil {
		*err = errors.Join(*err, daemon.Errorf(daemon.Unavailable, "and it could not be fetched from %s: %w", d.Offsite.Place(), ferr))
		return false
	}
	return true
}

// Elsewhere tells when the copy of a backup was made elsewhere, or why there is none
// yet. Both are empty where no copies are wanted.
func Elsewhere(b daemon.Backup) (at time.Time, problem string) {
	v := detailOf(b)
	return v.Offsite, v.OffsiteError
}

// Download opens the portable dump of a backup, and tells its file name.
func (d *Daemon) Download(ctx context.Context, id string) (io.ReadCloser, string, error) {
	b, err := d.Backup(ctx, id)
	if err != nil {
		return nil, "", err
	}
	part, name, err := dumpPart(b)
	if err != nil {
		return nil, "", err
	}
	r, err := d.open(ctx, b, part)
	return r, name, err
}
