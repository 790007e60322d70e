package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"towline/plugins"
)

// backupData is what reconcile must know of a capture or a restore that was cut
// short.
type backupData struct {
	Backup     string `json:"backup"`
	Generation int    `json:"generation,omitempty"` // that a restore fills
}

// Capture is journey 4: copy the volumes while the service runs, freeze it, copy what
// has changed since, thaw; store the copy; prove it by starting a throwaway container
// on it. Clients see a pause, never an error. The backup is good only once proven; one
// that is not is kept, as failed, for inspection.
func (d *Daemon) Capture(ctx context.Context, name, member, reason string, out io.Writer) (Backup, error) {
	unlock, err := d.lockAddon(ctx, name)
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
	ctx, cancel := d.detach(ctx)
	defer cancel()
	b := Backup{
		ID: backupID(name, now()), Addon: name, Service: addon.Service, Version: addon.Version,
		Status: BackupRunning, Reason: reason, Created: now(),
	}
	op, err := d.begin(ctx, opBackup, name, member, "capture", backupData{Backup: b.ID}, func(tx Tx) error { return tx.InsertBackup(b) })
	if err != nil {
		return Backup{}, err
	}
	err = d.capture(ctx, op, addon, &b, out)
	if errors.Is(context.Cause(ctx), errClosing) {
		return b, errClosing
	}
	ctx = context.WithoutCancel(ctx)
	b.Finished, b.Status = now(), BackupGood
	if err != nil {
		b.Status, b.Error = BackupFailed, err.Error()
	}
	err = errors.Join(err, os.RemoveAll(d.backupTree(b.ID)), op.finish(ctx, func(tx Tx) error { return tx.UpdateBackup(b) }))
	return b, err
}

func (d *Daemon) capture(ctx context.Context, op *operation, addon Addon, b *Backup, out io.Writer) error {
	step(out, "Copying %s", addon.Name)
	tree := d.backupTree(b.ID)
	stall, err := d.snapshot(ctx, addon, tree)
	b.Stall = stall
	if err != nil {
		return err
	}
	if err := op.step(ctx, "store", nil); err != nil {
		return err
	}
	step(out, "Storing; the service stood still for %s", stall.Round(time.Millisecond))
	stored, err := d.Vault.Store(ctx, b.ID, tree, *b)
	if err != nil {
		return err
	}
	b.Size, b.Detail = stored.Size, encode(stored)
	if err := op.step(ctx, "prove", nil, func(tx Tx) error { return tx.UpdateBackup(*b) }); err != nil {
		return err
	}
	step(out, "Proving it in a throwaway container")
	if b.Facts, err = d.prove(ctx, addon, tree, b.ID); err != nil {
		return Errorf(Failed, "the copy of %s could not be proven: %w", addon.Name, err).
			WithHint("it is kept as %s for inspection", b.ID)
	}
	b.Proven = now()
	if b.Facts != "" {
		step(out, "Found %s", b.Facts)
	}
	return nil
}

// snapshot copies the volumes into tree, each below a folder of its name, and tells
// how long the service was frozen.
func (d *Daemon) snapshot(ctx context.Context, addon Addon, tree string) (stall time.Duration, err error) {
	spec, err := d.renderAddon(addon)
	if err != nil {
		return 0, err
	}
	sync := func() error {
		for _, v := range spec.Volumes {
			src, err := d.Engine.VolumePath(ctx, d.addonVolume(addon, v.Name))
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
		return nil
	}
	if err := sync(); err != nil {
		return 0, err
	}
	container := d.addonContainer(addon)
	if len(spec.Snapshot.Command) > 0 {
		if _, err := d.execIn(ctx, container, spec.Snapshot); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	if err := d.Engine.PauseContainer(ctx, container); err != nil {
		return 0, err
	}
	err = sync()
	// Thaw whatever happened; reconcile does it if we die here.
	err = errors.Join(err, d.Engine.UnpauseContainer(context.WithoutCancel(ctx), container))
	return time.Since(begin), err
}

// prove starts a throwaway container of the same version on the tree, without a
// network, waits for its probe and runs the manifest's verification.
func (d *Daemon) prove(ctx context.Context, addon Addon, tree, id string) (facts string, err error) {
	spec, err := d.renderAddon(addon)
	if err != nil {
		return "", err
	}
	c := d.serviceSpec(addon, spec)
	c.Name = d.Name + "-proof-" + id
	c.Labels = map[string]string{labelKind: kindProof, labelAddon: addon.Name}
	c.Networks, c.NoNetwork = nil, true
	for i, m := range c.Mounts {
		if m.Volume != "" {
			name, _ := d.volumeOf(addon, m.Volume)
			c.Mounts[i] = Mount{Source: filepath.Join(tree, name), Target: m.Target}
		}
	}
	defer func() {
		err = errors.Join(err, d.Engine.RemoveContainer(context.WithoutCancel(ctx), c.Name))
	}()
	if err := d.createProcess(ctx, c); err != nil {
		return "", err
	}
	if err := d.Engine.StartContainer(ctx, c.Name); err != nil {
		return "", err
	}
	if err := d.awaitService(ctx, c.Name, spec); err != nil {
		return "", err
	}
	if len(spec.Verify.Command) == 0 {
		return "", nil
	}
	text, err := d.execIn(ctx, c.Name, spec.Verify)
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) > 12 {
		lines = append(lines[:12], fmt.Sprintf("and %d more", len(lines)-12))
	}
	return strings.Join(lines, ", "), err
}

// execIn runs a manifest's action in a container and returns what it wrote.
func (d *Daemon) execIn(ctx context.Context, container string, a plugins.Action) (string, error) {
	var stdout, stderr bytes.Buffer
	exec := ExecSpec{Command: a.Command, Env: a.Env}
	code, err := d.Engine.Exec(ctx, container, exec, Streams{Stdout: &stdout, Stderr: &stderr})
	if err == nil && code != 0 {
		err = fmt.Errorf("%s exited with code %d: %s", a.Command[0], code, clip(strings.TrimSpace(stderr.String())))
	}
	return stdout.String(), err
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

// Backups lists, newest first, the backups of an add-on, of an app's add-ons, or of all
// that the member may view.
func (d *Daemon) Backups(ctx context.Context, member, app, addon string) ([]Backup, error) {
	visible, err := d.Addons(ctx, member, app)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, a := range visible {
		names[a.Name] = true
	}
	admin := app == "" && d.Allowed(ctx, member, "", View) == nil
	all, err := read(ctx, d, func(tx Tx) ([]Backup, error) { return tx.Backups(addon) })
	list := []Backup{}
	for _, b := range all {
		if names[b.Addon] || admin {
			list = append(list, b)
		}
	}
	return list, err
}

// DeleteBackup removes a backup for good.
func (d *Daemon) DeleteBackup(ctx context.Context, id, member string) error {
	unlock, err := d.lockAddon(ctx, BackupAddon(id))
	if err != nil {
		return err
	}
	defer unlock()
	b, err := d.Backup(ctx, id)
	if err != nil {
		return err
	}
	// The record goes first: bytes without one are swept up, a record without bytes
	// would promise what isn't there.
	err = d.Store.Update(ctx, func(tx Tx) error {
		return errors.Join(tx.DeleteBackup(id), tx.RecordActivity(Activity{Time: now(), Member: member, Text: "deleted the backup " + b.ID}))
	})
	return errors.Join(err, d.Vault.Delete(ctx, id))
}

func (b Backup) stored() (s Stored, err error) {
	err = json.Unmarshal(b.Detail, &s)
	return s, err
}
