package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"towline/daemon/work"
	"towline/plugins"
)

// backupData is what reconcile must know of a capture, a restore or a deletion that was
// cut short.
type backupData struct {
	Backup     string `json:"backup"`
	Generation int    `json:"generation,omitempty"` // that a restore fills
	Safety     string `json:"safety,omitempty"`     // backup of what a restore replaced
	Of         dataOf `json:"of,omitzero"`          // whose data that is
}

// backupDetail is what the state keeps of a backup beside its columns.
type backupDetail struct {
	Parts        []Part    `json:"parts,omitempty"`  // the volumes, then the dump
	Dump         string    `json:"dump,omitempty"`   // file name of the portable dump
	Offsite      time.Time `json:"offsite,omitzero"` // when the copy elsewhere was made
	OffsiteError string    `json:"offsite_error,omitempty"`
	Of           dataOf    `json:"of,omitzero"`
	AsOf         time.Time `json:"as_of,omitzero"`        // when the service was frozen: what it had acknowledged is in the copy
	Credentials  string    `json:"credentials,omitempty"` // a mark of those that were in use; now Backup.Secrets
}

const opBackup = "backup"

var backupKind = opKind{name: opBackup, text: "a backup", of: ofBackup,
	steps: []string{"capture", "store", "prove"}, recover: (*Daemon).recoverCapture}

// Capture is journey 4: copy the volumes while the service runs, freeze it, copy what
// has changed since, thaw; store the copy; prove it by starting a throwaway container
// on it. Clients see a pause, never an error. The backup is good only once proven; one
// that is not is kept, as failed, for inspection.
func (d *Daemon) Capture(ctx context.Context, name, member, reason string, out io.Writer) (Backup, error) {
	return d.captureOf(ctx, name, member, reason, dataOf{}, out)
}

func (d *Daemon) captureOf(ctx context.Context, name, member, reason string, of dataOf, out io.Writer) (Backup, error) {
	unlock, err := d.lockAddon(ctx, name, out)
	if err != nil {
		return Backup{}, err
	}
	defer unlock()
	addon, err := d.Addon(ctx, name)
	if err != nil {
		return Backup{}, err
	}
	if addon.Status != AddonReady {
		return Backup{}, Errorf(Conflict, "%s is %s", name, addon.Status)
	}
	if err := d.roomForBackup(ctx, addon); err != nil {
		return Backup{}, err
	}
	ctx, cancel := d.detach(ctx)
	defer cancel()
	b := newBackup(addon, reason)
	b.change(func(v *backupDetail) { v.Of = of })
	op, err := d.begin(ctx, opBackup, name, member, "capture", backupData{Backup: b.ID}, func(tx Tx) error { return tx.InsertBackup(b) })
	if err != nil {
		return Backup{}, err
	}
	err = try("a backup", func() error { return d.capture(ctx, op, addon, &b, out) })
	if errors.Is(context.Cause(ctx), errClosing) {
		return b, errClosing
	}
	err = d.explainFull(ctx, err)
	ctx = context.WithoutCancel(ctx)
	b.Finished, b.Status = now(), BackupGood
	if err != nil {
		b.Status, b.Error = BackupFailed, err.Error()
	}
	if parts := b.detail().Parts; len(parts) > 0 {
		err = errors.Join(err, d.Vault.Describe(ctx, b.ID, b.plain(), parts...))
	}
	err = errors.Join(err, os.RemoveAll(d.backupTree(b.ID)), d.ballast.Insist(d.closing, func() error {
		return op.finish(ctx, func(tx Tx) error { return tx.UpdateBackup(b) })
	}))
	d.wakeOffsite()
	return b, err
}

func newBackup(a Addon, reason string) Backup {
	return Backup{
		ID: backupID(a.Name, now()), Addon: a.Name, App: a.App, Service: a.Service, Version: a.Version,
		Status: BackupRunning, Reason: reason, Created: now(), Secrets: withMarked(a.Secrets, "", nil),
	}
}

func (d *Daemon) capture(ctx context.Context, op *operation, addon Addon, b *Backup, out io.Writer) error {
	work.Stage(out, "Copying %s", addon.Name)
	dirs, err := d.snapshot(ctx, addon, b)
	if err != nil {
		return err
	}
	defer d.keepUp(ctx, addon)()
	if err := op.step(ctx, "store", nil); err != nil {
		return err
	}
	work.Stage(out, "Storing; the service stood still for %s", b.Stall.Round(time.Millisecond))
	part, err := d.Vault.Store(ctx, b.ID, dirs, b.plain())
	if err != nil {
		return err
	}
	b.addPart(part)
	if err := op.step(ctx, "prove", nil, func(tx Tx) error { return tx.UpdateBackup(*b) }); err != nil {
		return err
	}
	work.Stage(out, "Proving it in a throwaway container")
	if err := d.proveBackup(ctx, addon, dirs, b); err != nil {
		return err
	}
	if b.Facts != "" {
		work.Stage(out, "Found %s", b.Facts)
	}
	return nil
}

const (
	// maxPasses bounds the copies made while the service runs.
	maxPasses = 6
	// fewBytes are read in a blink: once no more has changed, it is time to freeze.
	fewBytes = 32 << 20
	// A process that waits for its disk cannot be frozen before it has what it waits
	// for; the kernel gives up sooner than a slow disk.
	freezeWithin = 15 * time.Second
	freezeAgain  = 20 * time.Millisecond
)

// snapshot copies the volumes, each below a folder of its name, and sets how long the
// service was frozen. The copies equal what the volumes held in that time.
func (d *Daemon) snapshot(ctx context.Context, addon Addon, b *Backup) (dirs map[string]string, err error) {
	spec, err := d.renderAddon(addon)
	if err != nil {
		return nil, err
	}
	volumes, err := d.volumeDirs(ctx, addon)
	if err != nil {
		return nil, err
	}
	dirs, pairs := map[string]string{}, map[string]string{}
	for name, src := range volumes {
		dirs[name] = filepath.Join(d.backupTree(b.ID), name)
		pairs[src] = dirs[name]
		if err := os.MkdirAll(dirs[name], 0o700); err != nil {
			return nil, err
		}
	}
	mirror := d.Vault.Mirror(pairs)
	if err := d.copyLive(ctx, addon, mirror); err != nil {
		return nil, err
	}
	container := d.addonContainer(addon)
	defer func() { err = errors.Join(err, d.thawed(context.WithoutCancel(ctx), container, spec)) }()
	if len(spec.Snapshot.Command) > 0 {
		if _, err := d.execIn(ctx, container, spec.Snapshot); err != nil {
			return nil, err
		}
	}
	begin, err := d.freeze(ctx, addon)
	if err != nil {
		return nil, errors.Join(err, d.thaw(ctx, addon)) // Podman may have done it and not lived to say so
	}
	b.change(func(v *backupDetail) { v.AsOf = begin.UTC() })
	d.fault("backup:frozen")
	err = try("a copy", func() error { // whatever happens, the service goes on
		_, err := mirror.Pass(ctx, true)
		return err
	})
	err = errors.Join(err, d.thaw(ctx, addon))
	b.Stall = time.Since(begin)
	d.fault("backup:frozen:done")
	return dirs, err
}

// freeze stops the service where it is, and says since when.
func (d *Daemon) freeze(ctx context.Context, addon Addon) (since time.Time, err error) {
	container := d.addonContainer(addon)
	for deadline := time.Now().Add(freezeWithin); ; {
		since = time.Now()
		if err = d.Engine.PauseContainer(ctx, container); err == nil {
			return since, nil
		}
		c, cerr := d.Engine.Container(ctx, container)
		switch {
		case cerr == nil && c.Paused:
			return since, nil
		case cerr == nil && !c.Running:
			return since, Errorf(Failed, "%s ended with exit code %d while it was copied", addon.Name, c.ExitCode).WithHint("towline addons:logs %s", addon.Name)
		case cerr != nil || time.Now().After(deadline):
			return since, err
		}
		select {
		case <-time.After(freezeAgain):
		case <-ctx.Done():
			return since, ctx.Err()
		}
	}
}

// thaw lets a service go on, whatever happened: Podman is asked until it does so. If we
// die here, reconcile does it.
func (d *Daemon) thaw(ctx context.Context, addon Addon) error {
	container := d.addonContainer(addon)
	for wait := freezeAgain; ; wait = min(2*wait, time.Second) {
		err := d.Engine.UnpauseContainer(context.WithoutCancel(ctx), container)
		if err == nil {
			return nil
		}
		c, cerr := d.Engine.Container(context.WithoutCancel(ctx), container)
		switch {
		case isKind(cerr, NotFound):
			return err
		case cerr == nil && !c.Paused && !c.Running:
			return Errorf(Failed, "%s ended with exit code %d while it was frozen", addon.Name, c.ExitCode).WithHint("towline addons:logs %s", addon.Name)
		case cerr == nil && !c.Paused:
			return nil
		}
		if wait == freezeAgain {
			d.sayAddon(ctx, addon.Name, "%s stands still for a backup, and Podman does not let it go on; asking again: %v", addon.Name, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// thawed undoes what the manifest's preparation for a snapshot did to a service that
// runs. One that does not has forgotten it.
func (d *Daemon) thawed(ctx context.Context, container string, spec plugins.Spec) error {
	if len(spec.Thawed.Command) == 0 {
		return nil
	}
	if c, err := d.Engine.Container(ctx, container); err != nil || !c.Running {
		return nil
	}
	if _, err := d.execIn(ctx, container, spec.Thawed); err != nil {
		return Errorf(Failed, "after the copy: %w", err)
	}
	return nil
}

// copyLive copies while the service runs, until little has changed since the pass
// before.
func (d *Daemon) copyLive(ctx context.Context, addon Addon, mirror Mirror) error {
	defer d.keepUp(ctx, addon)()
	before := int64(math.MaxInt64)
	for range maxPasses {
		pass, err := mirror.Pass(ctx, false)
		if err != nil {
			return err
		}
		if pass.Read <= fewBytes || pass.Read > before-before/4 {
			break
		}
		before = pass.Read
	}
	return nil
}

// keepUp starts the service again when it dies, until stop is called: its supervisor
// waits for the lock that a backup holds.
func (d *Daemon) keepUp(ctx context.Context, addon Addon) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer Contain("the watch over an add-on that is backed up", nil)
		for wait := time.Second; ; {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			wait = time.Second
			c, err := d.Engine.Container(ctx, d.addonContainer(addon))
			if err != nil || c.Running || c.Paused {
				continue
			}
			wait = max(wait, d.supervisor.delay(c.Name)) // before the next, if it dies again
			d.sayAddon(ctx, addon.Name, "%s exited with code %d during a backup; restarting", addon.Name, c.ExitCode)
			if err := d.Engine.StartContainer(ctx, c.Name); err != nil && ctx.Err() == nil {
				d.Log.Error("restart", "container", c.Name, "err", err)
			}
		}
	}()
	return func() { cancel(); <-done }
}

// volumeDirs are the directories of an add-on's volumes on the host, by name.
func (d *Daemon) volumeDirs(ctx context.Context, addon Addon) (map[string]string, error) {
	spec, err := d.renderAddon(addon)
	if err != nil {
		return nil, err
	}
	dirs := map[string]string{}
	for _, v := range spec.Volumes {
		if dirs[v.Name], err = d.Engine.VolumePath(ctx, d.addonVolume(addon, v.Name)); err != nil {
			return nil, err
		}
	}
	return dirs, nil
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

// backupTree is where a copy is while it is made and proven.
func (d *Daemon) backupTree(id string) string { return filepath.Join(d.workDir("backup"), id) }

// Backup returns one backup.
func (d *Daemon) Backup(ctx context.Context, id string) (Backup, error) {
	return read(ctx, d, func(tx Tx) (Backup, error) {
		b, err := tx.Backup(id)
		if isKind(err, NotFound) {
			err = Errorf(NotFound, "there is no backup %q", clip(id)).WithHint("towline backups lists them")
		}
		return b, err
	})
}

// Backups lists, newest first, the backups of an add-on, of the add-ons that an app owns,
// or of all that the member may view.
func (d *Daemon) Backups(ctx context.Context, member, app, addon string) ([]Backup, error) {
	return read(ctx, d, func(tx Tx) ([]Backup, error) {
		all, err := tx.Backups(addon)
		if err != nil {
			return nil, err
		}
		list := []Backup{}
		for _, b := range all {
			ok, err := allowed(tx, member, b.App, View)
			if err != nil {
				return nil, err
			}
			if !ok || app != "" && b.App != app {
				continue
			}
			if err := b.hideFrom(tx, member); err != nil {
				return nil, err
			}
			list = append(list, b)
		}
		return list, nil
	})
}

// hideFrom takes the name of an app out that the member may not view.
func (b *Backup) hideFrom(tx Tx, member string) error {
	of, _ := b.OfRelease()
	if of == "" {
		return nil
	}
	ok, err := allowed(tx, member, of, View)
	if err == nil && !ok {
		b.change(func(v *backupDetail) { v.Of = dataOf{} })
	}
	return err
}

// recoverCapture: the backup is failed, and the service thawed. Backups outlive their add-on.
func (d *Daemon) recoverCapture(ctx context.Context, op *operation) error {
	data, err := decode[backupData](op.Operation)
	if err != nil {
		return err
	}
	id := data.Backup
	addon, err := d.Addon(ctx, op.Subject)
	if err != nil && !isKind(err, NotFound) {
		return err
	}
	addon.Name = op.Subject
	c, err := d.Engine.Container(ctx, d.addonContainer(addon))
	if err == nil && c.Paused {
		err = d.Engine.UnpauseContainer(ctx, c.Name)
	}
	if err != nil && !isKind(err, NotFound) {
		return err
	}
	if spec, err := d.renderAddon(addon); err == nil {
		if err := d.thawed(ctx, c.Name, spec); err != nil {
			d.Log.Error("undo the preparation of a snapshot", "addon", addon.Name, "err", err)
		}
	}
	err = errors.Join(d.removeProofs(ctx, addon.Name), os.RemoveAll(d.backupTree(id)), d.Vault.Delete(ctx, id))
	if err != nil {
		return err
	}
	b, err := d.Backup(ctx, id)
	if err != nil {
		return err
	}
	b.Status, b.Finished, b.Error = BackupFailed, now(), "towlined was stopped before the backup was done"
	b.Size, b.Detail = 0, nil
	if err := op.finish(ctx, func(tx Tx) error { return tx.UpdateBackup(b) }); err != nil {
		return err
	}
	d.sayAddon(ctx, addon.Name, "backup: FAILED: %s: %s", b.ID, b.Error)
	return nil
}

const opBackupDelete = "backup-delete"

var backupDeleteKind = opKind{name: opBackupDelete, text: "the deletion of a backup", of: ofBackup,
	steps: []string{"delete"}, recover: (*Daemon).recoverBackupDelete}

// DeleteBackup removes a backup for good, here and elsewhere.
func (d *Daemon) DeleteBackup(ctx context.Context, id, member string) error {
	unlock, err := d.lockAddon(ctx, BackupAddon(id), nil)
	if err != nil {
		return err
	}
	defer unlock()
	b, err := d.Backup(ctx, id)
	if err != nil {
		return err
	}
	ctx, cancel := d.detach(ctx)
	defer cancel()
	op, err := d.begin(ctx, opBackupDelete, b.Addon, member, "delete", backupData{Backup: b.ID}, func(tx Tx) error {
		return tx.RecordActivity(Activity{Time: now(), Member: member, Text: "deleted the backup " + b.ID})
	})
	if err != nil {
		return err
	}
	return d.removeBackup(ctx, op, b)
}

// removeBackup goes on where a deletion was cut short.
func (d *Daemon) removeBackup(ctx context.Context, op *operation, b Backup) error {
	if d.Offsite != nil && !b.detail().Offsite.IsZero() {
		if err := d.Offsite.Forget(ctx, b.ID); err != nil {
			d.sayAddon(ctx, b.Addon, "backup: the copy of %s at %s could not be deleted: %v", b.ID, d.Offsite.Place(), err)
		}
	}
	if err := d.Vault.Delete(ctx, b.ID); err != nil {
		return err
	}
	return op.finish(ctx, func(tx Tx) error {
		if err := tx.DeleteBackup(b.ID); !isKind(err, NotFound) {
			return err
		}
		return nil
	})
}

// recoverBackupDelete goes on to the end.
func (d *Daemon) recoverBackupDelete(ctx context.Context, op *operation) error {
	data, err := decode[backupData](op.Operation)
	if err != nil {
		return err
	}
	b, err := d.Backup(ctx, data.Backup)
	if err != nil && !isKind(err, NotFound) {
		return err
	}
	b.ID = data.Backup
	return d.removeBackup(ctx, op, b)
}

func (b Backup) detail() (v backupDetail) {
	_ = json.Unmarshal(b.Detail, &v) // our own; a backup without parts says so where it is used
	return v
}

// AsOf is the moment that the data is of: every write acknowledged before it is in the
// backup. Zero: it never came so far, or the backup is a dump of the user's own.
func (b Backup) AsOf() time.Time { return b.detail().AsOf }

// change edits what is kept beside the columns.
func (b *Backup) change(f func(*backupDetail)) {
	v := b.detail()
	f(&v)
	b.Detail = encode(v)
}

func (b *Backup) addPart(p Part) {
	b.Size += p.Size
	b.change(func(v *backupDetail) { v.Parts = append(v.Parts, p) })
}

// plain is what the manifest beside the bytes says: it has the parts already.
func (b Backup) plain() Backup {
	b.Detail = nil
	return b
}

// data is the part that holds the volumes.
func (b Backup) data() (Part, error) {
	parts := b.detail().Parts
	if len(parts) == 0 {
		return Part{}, Errorf(Conflict, "backup %s was never stored: %s", b.ID, b.Error)
	}
	return parts[0], nil
}

// dump is the part that holds the portable dump, and the name of its file.
func (b Backup) dump() (Part, string, error) {
	v := b.detail()
	if v.Dump == "" || len(v.Parts) < 2 {
		return Part{}, "", Errorf(Conflict, "backup %s has no portable dump", b.ID).
			WithHint("%s has none, or the backup is %s; it can be restored into %s itself", b.Service, b.Status, b.Addon)
	}
	return v.Parts[1], v.Dump, nil
}
