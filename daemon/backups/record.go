package backups

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/journal"
	"towline/daemon/people"
)

// backupDetail is what the state keeps of a backup beside its columns.
type backupDetail struct {
	Parts        []daemon.Part `json:"parts,omitempty"`         // the volumes, then the dump
	Dump         string        `json:"dump,omitempty"`          // file name of the portable dump
	OffsiteBegun bool          `json:"offsite_begun,omitempty"` // there may be an offsite copy, or a part of one
	Offsite      time.Time     `json:"offsite,omitzero"`        // when that was made
	OffsiteError string        `json:"offsite_error,omitempty"`
	Of           dataOf        `json:"of,omitzero"`
	AsOf         time.Time     `json:"as_of,omitzero"`        // when the service was frozen: what it had acknowledged is in the copy
	Credentials  string        `json:"credentials,omitempty"` // a mark of those that were in use; now Backup.Secrets
}

func newBackup(a daemon.Addon, reason string) daemon.Backup {
	return daemon.Backup{
		ID: backupID(a.Name, daemon.Now()), Addon: a.Name, App: a.App, Service: a.Service, Version: a.Version,
		Status: daemon.BackupRunning, Reason: reason, Created: daemon.Now(), Secrets: addons.WithMarked(a.Secrets, "", nil),
	}
}

// backupID is readable, sorts by time, and tells whose backup it is.
func backupID(addon string, t time.Time) string {
	return addon + "." + strings.ReplaceAll(t.Format("20060102T150405.000Z"), ".", "")
}

// BackupAddon is the add-on that a backup's ID names.
func BackupAddon(id string) string {
	addon, _, _ := strings.Cut(id, ".")
	return addon
}

// Backup returns one backup.
func (bs *Backups) Backup(ctx context.Context, id string) (daemon.Backup, error) {
	return daemon.Read(ctx, bs.Store, func(tx daemon.Tx) (daemon.Backup, error) {
		b, err := tx.Backup(id)
		if daemon.IsKind(err, daemon.NotFound) {
			err = daemon.Errorf(daemon.NotFound, "there is no backup %q", daemon.Clip(id)).WithHint("towline backups lists them")
		}
		return b, err
	})
}

// List lists, newest first, the backups of an add-on, of the add-ons that an app owns,
// or of all that the member may view.
func (bs *Backups) List(ctx context.Context, member, app, addon string) ([]daemon.Backup, error) {
	return daemon.Read(ctx, bs.Store, func(tx daemon.Tx) ([]daemon.Backup, error) {
		all, err := tx.Backups(addon)
		if err != nil {
			return nil, err
		}
		list := []daemon.Backup{}
		for _, b := range all {
			ok, err := people.May(tx, member, b.App, daemon.View)
			if err != nil {
				return nil, err
			}
			if !ok || app != "" && b.App != app {
				continue
			}
			if err := bs.hideFrom(&b, tx, member); err != nil {
				return nil, err
			}
			list = append(list, b)
		}
		return list, nil
	})
}

// hideFrom takes the name of an app out of a backup that the member may not view.
func (bs *Backups) hideFrom(b *daemon.Backup, tx daemon.Tx, member string) error {
	of, _ := bs.OfRelease(*b)
	if of == "" {
		return nil
	}
	ok, err := people.May(tx, member, of, daemon.View)
	if err == nil && !ok {
		changeDetail(b, func(v *backupDetail) { v.Of = dataOf{} })
	}
	return err
}

func detailOf(b daemon.Backup) (v backupDetail) {
	_ = json.Unmarshal(b.Detail, &v) // our own; a backup without parts says so where it is used
	return v
}

// AsOf is the moment that the data is of: every write acknowledged before it is in the
// backup. Zero: it never came so far, or the backup is a dump of the user's own.
func AsOf(b daemon.Backup) time.Time { return detailOf(b).AsOf }

// changeDetail edits what is kept beside the columns.
func changeDetail(b *daemon.Backup, f func(*backupDetail)) {
	v := detailOf(*b)
	f(&v)
	b.Detail = journal.Encode(v)
}

func addPart(b *daemon.Backup, p daemon.Part) {
	b.Size += p.Size
	changeDetail(b, func(v *backupDetail) { v.Parts = append(v.Parts, p) })
}

// plain is what the manifest beside the bytes says: it has the parts already.
func plain(b daemon.Backup) daemon.Backup {
	b.Detail = nil
	return b
}

// dataPart is the part that holds the volumes.
func dataPart(b daemon.Backup) (daemon.Part, error) {
	parts := detailOf(b).Parts
	if len(parts) == 0 {
		return daemon.Part{}, daemon.Errorf(daemon.Conflict, "backup %s was never stored: %s", b.ID, b.Error)
	}
	return parts[0], nil
}

// dumpPart is the part that holds the portable dump, and the name of its file.
func dumpPart(b daemon.Backup) (daemon.Part, string, error) {
	v := detailOf(b)
	if v.Dump == "" || len(v.Parts) < 2 {
		return daemon.Part{}, "", daemon.Errorf(daemon.Conflict, "backup %s has no portable dump", b.ID).
			WithHint("%s has none, or the backup is %s; it can be restored into %s itself", b.Service, b.Status, b.Addon)
	}
	return v.Parts[1], v.Dump, nil
}
