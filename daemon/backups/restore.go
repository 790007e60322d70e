package backups

import (
	"context"
	"errors"
	"io"
	"strings"

	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/container"
	"towline/daemon/journal"
	"towline/daemon/work"
	"towline/plugins"
)

// RestoreRequest says what an add-on's data is to become: a backup, or a dump of the
// user's own.
type RestoreRequest struct {
	Backup string
	Dump   io.Reader // instead of Backup
	To     string    // add-on; empty: the backup's own
	Member string

	safety string // ID of the backup of what is replaced; empty: a new one
	of     dataOf // whose data that is
	part   bool   // of a rollback, whose event tells of it
	hold   bool   // requests of the attached apps wait on afterwards, until resumeApps
}

const opRestore = "restore"

func (re *Restores) restoreKind() journal.Kind {
	return journal.Kind{Name: opRestore, Text: "a restore", Of: journal.OfAddon,
		Steps: []string{"check", "replace", "current"}, Recover: re.recoverRestore}
}

// Restore puts an add-on's data back: check the sums and unpack beside the present
// data, have the requests of the attached apps wait, stop the service and start it on
// the restored volumes, wait for its probe, let the requests go. If it does not come
// up, the data of before does. Afterwards that data is kept as a backup of its own.
//
// Another add-on than the backup's, or another version of the service, gets the
// portable dump: credentials are part of the volumes, and not of the dump.
func (re *Restores) Restore(ctx context.Context, req RestoreRequest, out io.Writer) (daemon.Addon, error) {
	var b daemon.Backup
	var err error
	if req.Backup != "" {
		if b, err = re.backups.Backup(ctx, req.Backup); err != nil {
			return daemon.Addon{}, err
		}
		if req.To == "" {
			req.To = b.Addon
		}
	}
	if req.Dump != nil {
		dump, err := re.takeDump(ctx, req, out)
		if err != nil {
			return daemon.Addon{}, err
		}
		defer dump.Close()
		req.Dump = dump
	}
	unlock, err := re.Journal.LockAddon(ctx, req.To, out)
	if err != nil {
		return daemon.Addon{}, err
	}
	defer unlock()
	addon, err := re.Addons.Addon(ctx, req.To)
	if err != nil {
		return addon, err
	}
	from, err := re.source(ctx, req, b, addon)
	if err != nil {
		return addon, err
	}
	ctx, cancel := re.Life.Detach(ctx)
	defer cancel()
	next := addon
	next.Generation++
	event := daemon.Activity{Member: req.Member}
	if !req.part { // else a rollback has the event
		event = daemon.Activity{Kind: daemon.BackupRestored, Member: req.Member, App: addon.App, Subject: addon.Name, Text: "restored a dump into " + addon.Name}
		if b.ID != "" {
			event.Text = "restored " + b.ID + " into " + addon.Name
		}
	}
	op, err := re.Journal.Begin(ctx, opRestore, addon.Name, event, "check",
		backupData{Backup: b.ID, Generation: next.Generation, Safety: req.safety, Of: req.of})
	if err != nil {
		return addon, err
	}
	err = op.Do(ctx, out,
		func(ctx context.Context) error {
			return re.backups.explainFull(ctx, re.replaceData(ctx, op, addon, next, from, out))
		},
		func(ctx context.Context) error { return re.undoRestore(ctx, op) })
	if err != nil {
		return addon, err
	}
	if !req.hold {
		if err := re.Life.Outlast(ctx, out, func(ctx context.Context) error { return re.Services.ResumeApps(ctx, addon.Name) }); err != nil {
			return next, err
		}
	}
	return next, re.Life.Outlast(ctx, out, func(ctx context.Context) error { return re.goOnKeeping(ctx, op, addon, out) })
}

// replaceData moves the add-on to the next generation. Requests of its apps wait when it
// returns.
func (re *Restores) replaceData(ctx context.Context, op *journal.Operation, addon, next daemon.Addon, from source, out io.Writer) error {
	// An attempt before this one may not have been taken back whole.
	if err := re.Services.RemoveGeneration(ctx, next); err != nil {
		return err
	}
	for _, name := range re.volumeNames(next) {
		if err := re.Engine.EnsureVolume(ctx, name, addons.AddonLabels(next.Name)); err != nil {
			return err
		}
	}
	if err := from.fill(ctx, next, out); err != nil {
		return err
	}
	if err := re.proveNext(ctx, next, from.secrets, out); err != nil {
		return err
	}
	if err := op.Next(ctx, "replace", nil); err != nil {
		return err
	}
	work.Stage(out, "Replacing the data of %s; requests of its apps wait", addon.Name)
	if err := re.Services.PauseApps(ctx, addon.Name); err != nil {
		return err
	}
	if err := re.Engine.StopContainer(ctx, re.Services.ContainerName(addon), container.StopGrace); err != nil {
		return err
	}
	if err := re.Services.StartContainer(ctx, next, out); err != nil {
		return err
	}
	data, err := journal.Decode[backupData](op.Operation)
	if err != nil {
		return err
	}
	if data.Safety == "" {
		data.Safety = backupID(addon.Name, daemon.Now())
	}
	if op.Event != nil {
		op.Event.Undo = "backups:restore " + data.Safety
	}
	return op.Next(ctx, "current", data, func(tx daemon.Tx) error { return errors.Join(tx.UpdateAddon(next), op.Done(tx)) })
}

// proveNext tries the filled volumes while the service still runs on its own: what does
// not come up, or does not let the add-on's user in, costs no one a request. Data that
// knows other secrets than the present ones is started with those, and rotated to the
// present ones.
func (re *Restores) proveNext(ctx context.Context, next daemon.Addon, secrets map[string]string, out io.Writer) error {
	work.Stage(out, "Trying it in a throwaway container")
	then := next
	if secrets != nil {
		then.Secrets = secrets
	}
	spec, err := re.Services.Render(then)
	if err != nil {
		return err
	}
	dirs, err := re.backups.volumeDirs(ctx, next)
	if err != nil {
		return err
	}
	if err := re.Services.WriteFiles(next, spec); err != nil { // again, with the present secrets, when it starts
		return err
	}
	c := re.proofs.proofSpec(next, spec, backupID(next.Name, daemon.Now()), dirs, re.Services.FilesDir(next))
	facts, err := re.proofs.prove(ctx, c, spec, func(running bool) error {
		if secrets == nil || !running {
			return nil
		}
		work.Stage(out, "Giving it the present credentials")
		return re.moveSecrets(ctx, c.Name, then, next)
	})
	if err != nil {
		return daemon.Errorf(daemon.Failed, "%s does not run on that data: %w", next.Name, err).
			WithHint("nothing was changed; was its version changed since, or its credentials by hand?")
	}
	if facts != "" {
		work.Stage(out, "Found %s", facts)
	}
	return nil
}

// moveSecrets leads the service in a throwaway container from one set of secrets to
// another, by the manifest's rotation, and tries the new ones.
func (re *Restores) moveSecrets(ctx context.Context, container string, then, next daemon.Addon) error {
	m, err := re.Addons.Service(next.Service)
	if err != nil {
		return err
	}
	way := []map[string]string{addons.WithMarked(next.Secrets, "", nil)}
	// A rotation changes all at once. Where one is the same in both, as the user name of
	// an add-on that was destroyed and made again, there is a stop between.
	between := m.Rotated(then.Secrets)
	for name, value := range then.Secrets {
		if way[0][name] == value && between[name] != value {
			way = []map[string]string{between, way[0]}
			break
		}
	}
	for _, to := range way {
		spec, err := re.Attachments.RenderRotation(then, then.Secrets, to)
		if err != nil {
			return err
		}
		for _, action := range []plugins.Action{spec.Rotate, spec.Retire} {
			if len(action.Command) == 0 {
				continue
			}
			if _, err := re.Services.Exec(ctx, container, action); err != nil {
				return daemon.Errorf(daemon.Failed, "it does not take the present credentials: %w", err)
			}
		}
		then.Secrets = to
	}
	spec, err := re.Services.Render(next)
	if err != nil {
		return err
	}
	_, err = re.proofs.facts(ctx, container, spec)
	return err
}

func (re *Restores) volumeNames(a daemon.Addon) (names []string) {
	spec, err := re.Services.Render(a)
	if err != nil {
		return nil
	}
	for _, v := range spec.Volumes {
		names = append(names, re.Services.VolumeName(a, v.Name))
	}
	return names
}

// keepOldData makes a backup of what the restore replaced, then removes it. It holds
// the state of the very moment at which the service was stopped.
func (re *Restores) keepOldData(ctx context.Context, op *journal.Operation, old daemon.Addon, out io.Writer) error {
	if err := re.Services.NotCurrent(ctx, old); err != nil {
		return err
	}
	work.Stage(out, "Keeping the data of before as a backup")
	data, err := journal.Decode[backupData](op.Operation)
	if err != nil {
		return err
	}
	b := newBackup(old, daemon.ReasonSafety)
	b.ID = data.Safety
	changeDetail(&b, func(v *backupDetail) { v.Of = data.Of })
	dirs, err := re.backups.volumeDirs(ctx, old)
	if err != nil {
		return err
	}
	part, err := re.Vault.Store(ctx, b.ID, dirs, plain(b))
	if err != nil {
		return daemon.Errorf(daemon.Failed, "the data is restored, but that of before could not be kept as a backup: %w", re.backups.explainFull(ctx, err)).
			WithHint("it stays in the volumes of %s until that succeeds, when towlined starts", re.Services.ContainerName(old))
	}
	addPart(&b, part)
	if err := re.Engine.RemoveContainer(ctx, re.Services.ContainerName(old)); err != nil {
		return err
	}
	b.Status = daemon.BackupGood
	if err := re.proofs.proveBackup(ctx, old, dirs, &b); err != nil {
		if errors.Is(context.Cause(ctx), daemon.ErrClosing) {
			return daemon.ErrClosing
		}
		if daemon.IsAway(err) {
			return err // which says nothing of the data
		}
		b.Status, b.Error = daemon.BackupFailed, err.Error()
	}
	b.Facts = strings.TrimSuffix("replaced by a restore; "+b.Facts, "; ")
	b.Finished = daemon.Now()
	if err := re.Vault.Describe(ctx, b.ID, plain(b), detailOf(b).Parts...); err != nil {
		return err
	}
	// From here on the backup has the data, and no longer the volumes.
	if err := re.Store.Update(ctx, func(tx daemon.Tx) error { return tx.InsertBackup(b) }); err != nil {
		return err
	}
	return re.endRestore(ctx, op, old)
}

// endRestore removes what the restore replaced, of which there is a backup.
func (re *Restores) endRestore(ctx context.Context, op *journal.Operation, old daemon.Addon) error {
	if err := re.Services.RemoveGeneration(ctx, old); err != nil {
		return err
	}
	return op.Finish(ctx)
}

// undoRestore brings the data of before back: the generation that is current.
func (re *Restores) undoRestore(ctx context.Context, op *journal.Operation) error {
	addon, err := re.Addons.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	data, err := journal.Decode[backupData](op.Operation)
	if err != nil {
		return err
	}
	failed := addon
	failed.Generation = data.Generation
	err = errors.Join(re.removeProofs(ctx, addon.Name), re.Services.RemoveGeneration(ctx, failed),
		re.Services.StartContainer(ctx, addon, nil), re.Services.ResumeApps(ctx, addon.Name))
	if daemon.IsAway(err) {
		return err
	}
	return errors.Join(err, op.Finish(ctx))
}

func (re *Restores) removeProofs(ctx context.Context, addon string) error {
	return re.Containers.RemoveWhere(ctx, map[string]string{daemon.LabelAddon: addon, daemon.LabelKind: daemon.KindProof}, nil)
}

// recoverRestore: what was not current yet is undone, and else finished.
func (re *Restores) recoverRestore(ctx context.Context, op *journal.Operation) error {
	if op.Step != "current" {
		return re.undoRestore(ctx, op)
	}
	data, err := journal.Decode[backupData](op.Operation)
	if err != nil {
		return err
	}
	addon, err := re.Addons.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	old := addon
	old.Generation = data.Generation - 1
	err = errors.Join(re.removeProofs(ctx, addon.Name), re.Services.StartContainer(ctx, addon, nil), re.Services.ResumeApps(ctx, addon.Name))
	if err != nil {
		return err
	}
	return re.goOnKeeping(ctx, op, old, nil)
}

// goOnKeeping is keepOldData, where that may have been cut short before.
func (re *Restores) goOnKeeping(ctx context.Context, op *journal.Operation, old daemon.Addon, out io.Writer) error {
	data, err := journal.Decode[backupData](op.Operation)
	if err != nil {
		return err
	}
	_, err = re.backups.Backup(ctx, data.Safety)
	if err == nil {
		return re.endRestore(ctx, op, old)
	}
	if !daemon.IsKind(err, daemon.NotFound) {
		return err
	}
	if err := re.Vault.Delete(ctx, data.Safety); err != nil {
		return err
	}
	return re.keepOldData(ctx, op, old, out)
}

// BeforeRemoval removes the bytes of what was to become a backup of data that a restore has
// replaced, and did not, as the add-on goes.
func (re *Restores) BeforeRemoval(ctx context.Context, addon string) error {
	ops, err := daemon.Read(ctx, re.Store, daemon.Tx.Operations)
	if err != nil {
		return err
	}
	for _, o := range ops {
		data, err := journal.Decode[backupData](o)
		if o.Kind != opRestore || o.Subject != addon || err != nil || data.Safety == "" {
			continue
		}
		if _, err := re.backups.Backup(ctx, data.Safety); daemon.IsKind(err, daemon.NotFound) {
			if err := re.Vault.Delete(ctx, data.Safety); err != nil {
				return err
			}
		}
	}
	return nil
}
