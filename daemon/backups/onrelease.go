package backups

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/journal"
	"towline/daemon/work"
)

// This file keeps the data of an app's add-ons beside its releases: before each release
// a backup of what the one before leaves, and the way back to both.

// dataOf says that a backup is an add-on's data as a release of an app left it.
type dataOf struct {
	App     string `json:"app,omitempty"` // its handle, which outlasts a rename
	Release int    `json:"release,omitempty"`
}

// leftBy marks data as what a release of an app leaves.
func (re *Restores) leftBy(app string, version int) dataOf {
	return dataOf{re.Containers.Handles.Of(app), version}
}

// OfRelease is the release of an app that left the data of a backup; 0 where none is
// known.
func (bs *Backups) OfRelease(b daemon.Backup) (app string, version int) {
	of := detailOf(b).Of
	if of.App == "" {
		return "", 0
	}
	return bs.Containers.Handles.App(of.App), of.Release
}

// SetReleaseBackups has a backup of each add-on of an app taken before each release, or
// no longer.
func (re *Restores) SetReleaseBackups(ctx context.Context, app, member string, on bool) error {
	unlock, err := re.Journal.LockApp(ctx, app, nil)
	if err != nil {
		return err
	}
	defer unlock()
	return re.Store.Update(ctx, func(tx daemon.Tx) error {
		a, err := daemon.FindApp(tx, app)
		if err != nil || a.ReleaseBackups == on {
			return err
		}
		a.ReleaseBackups = on
		text, undo := "backs its add-ons up before each release", "backups:on-release off"
		if !on {
			undo = "backups:on-release on"
			text = "backs its add-ons up before releases no longer"
		}
		return errors.Join(tx.UpdateApp(a), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.BackupOnRelease, App: app, Text: text, Undo: undo}))
	})
}

// BeforeRelease takes the backups before a release, if the app wants them. Whoever
// calls it holds the app's lock. Changes that hold the lock of an add-on, like a
// rotation, take none.
func (re *Restores) BeforeRelease(ctx context.Context, app, member string, out io.Writer) error {
	a, err := re.Apps.App(ctx, app)
	if err != nil || !a.ReleaseBackups || a.Current == 0 {
		return err
	}
	if rel, err := re.Apps.Release(ctx, app, a.Current); err != nil || rel.Image == "" {
		return err // nothing has used them yet
	}
	attached, err := re.appAttachments(ctx, app)
	if err != nil {
		return err
	}
	for _, at := range attached {
		if _, err := re.backups.captureOf(ctx, at.Addon, member, daemon.ReasonRelease, re.leftBy(app, a.Current), out); err != nil {
			if errors.Is(err, daemon.ErrClosing) {
				return err
			}
			return daemon.Errorf(daemon.Failed, "nothing was released, as a backup of %s failed: %w", at.Addon, err).
				WithHint("to release without one: towline backups:on-release off -a %s", app)
		}
	}
	re.Life.Go(func(ctx context.Context) {
		if err := re.pruneReleaseBackups(ctx, app, attached); err != nil && ctx.Err() == nil {
			re.Log.Error("delete old backups of releases", "app", app, "err", err)
		}
	})
	return nil
}

func (re *Restores) appAttachments(ctx context.Context, app string) ([]daemon.AddonAttachment, error) {
	all, err := daemon.Read(ctx, re.Store, daemon.Tx.Attachments)
	return slices.DeleteFunc(all, func(at daemon.AddonAttachment) bool { return at.App != app }), err
}

// keptReleaseBackups is how many good ones of each add-on are kept for an app.
const keptReleaseBackups = apps.KeptImages

// pruneReleaseBackups deletes what is older than the newest few. Only what a release
// took counts: see Keep.Expired for the others.
func (re *Restores) pruneReleaseBackups(ctx context.Context, app string, attached []daemon.AddonAttachment) (err error) {
	for _, at := range attached {
		all, rerr := daemon.Read(ctx, re.Store, func(tx daemon.Tx) ([]daemon.Backup, error) { return daemon.BackupsOf(tx, at.Addon) })
		err = errors.Join(err, rerr)
		good, failed := 0, 0
		for _, b := range all { // newest first
			if detailOf(b).Of.App != re.Containers.Handles.Of(app) || b.Reason != daemon.ReasonRelease {
				continue
			}
			switch b.Status {
			case daemon.BackupGood:
				good++
			case daemon.BackupFailed:
				failed++
			}
			if b.Status == daemon.BackupGood && good > keptReleaseBackups || b.Status == daemon.BackupFailed && failed > failedKept {
				err = errors.Join(err, re.backups.Delete(ctx, b.ID, ""))
			}
		}
	}
	return err
}

// rollbackData is what a recovery must know of a rollback with data.
type rollbackData struct {
	From  int            `json:"from"` // the release that was current
	Items []rollbackItem `json:"items"`
}

// rollbackItem is a backup to be restored, and the one that its restore makes of what it
// replaces.
type rollbackItem struct {
	Addon  string `json:"addon"`
	Backup string `json:"backup"`
	Safety string `json:"safety"`
}

const opRollback = "rollback"

// rollbackKind is of a rollback with data, which is made of restores and a release.
func (re *Restores) rollbackKind() journal.Kind {
	return journal.Kind{Name: opRollback, Text: "a rollback", Of: journal.OfApp, When: journal.RecoveredAfter,
		Steps: []string{"data", "release", "resume"},
		Addons: func(op daemon.Operation) (names []string) {
			data, _ := journal.Decode[rollbackData](op) // its recovery says what is wrong with it
			for _, item := range data.Items {
				names = append(names, item.Addon)
			}
			return names
		},
		Recover: re.recoverRollback}
}

// RollbackWithData goes back to an earlier release, and the data of the app's add-ons to
// what that release left. Requests wait from the first restore until the release serves.
// If either fails, release and data are as before.
func (re *Restores) RollbackWithData(ctx context.Context, app, member string, version int, out io.Writer) (daemon.Release, error) {
	unlock, err := re.Journal.LockApp(ctx, app, out)
	if err != nil {
		return daemon.Release{}, err
	}
	defer unlock()
	target, err := re.Releases.RollbackTarget(ctx, app, version)
	if err != nil {
		return daemon.Release{}, err
	}
	items, err := re.dataOfRelease(ctx, target)
	if err != nil {
		return daemon.Release{}, err
	}
	a, err := re.Apps.App(ctx, app)
	if err != nil {
		return daemon.Release{}, err
	}
	ctx, cancel := re.Life.Detach(ctx)
	defer cancel()
	data := rollbackData{a.Current, items}
	event := daemon.Activity{Kind: daemon.RolledBack, Member: member, App: app, Text: fmt.Sprintf("rolled back to v%d, with the data", target.Version)}
	op, err := re.Journal.Begin(ctx, opRollback, app, event, "data", data)
	if err != nil {
		return daemon.Release{}, err
	}
	var rel daemon.Release
	err = daemon.Try("a rollback", func() (err error) {
		rel, err = re.rollBack(ctx, op, data, target, out)
		return err
	})
	if errors.Is(context.Cause(ctx), daemon.ErrClosing) {
		return rel, daemon.ErrClosing
	}
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		work.Say(out, " !     Going back to the data of before")
		return rel, errors.Join(err, re.undoRollback(ctx, op, data, out))
	}
	return rel, re.endRollback(ctx, op, out)
}

func (re *Restores) rollBack(ctx context.Context, op *journal.Operation, data rollbackData, target daemon.Release, out io.Writer) (daemon.Release, error) {
	for _, item := range data.Items {
		req := RestoreRequest{Backup: item.Backup, Member: op.Member, safety: item.Safety, of: re.leftBy(target.App, data.From), hold: true, part: true}
		if _, err := re.Restore(ctx, req, out); err != nil {
			return daemon.Release{}, err
		}
	}
	if err := op.Next(ctx, "release", nil); err != nil {
		return daemon.Release{}, err
	}
	work.Stage(out, "Rolling back to v%d", target.Version)
	return re.Releases.ChangeLocked(ctx, target.App, op.Member, out, apps.RollbackTo(target))
}

// dataOfRelease finds, for each add-on of an app, the backup of its data as a release
// left it. It refuses what can't be done whole.
func (re *Restores) dataOfRelease(ctx context.Context, target daemon.Release) (items []rollbackItem, err error) {
	attached, err := re.appAttachments(ctx, target.App)
	if err != nil {
		return nil, err
	}
	if len(attached) == 0 {
		return nil, daemon.Errorf(daemon.Conflict, "%s has no add-ons, and so no data to go back to", target.App).
			WithHint("towline releases:rollback v%d -a %s", target.Version, target.App)
	}
	versions, err := re.sameCode(ctx, target)
	if err != nil {
		return nil, err
	}
	for _, at := range attached {
		users, err := re.Addons.Attachments(ctx, at.Addon)
		if err != nil {
			return nil, err
		}
		if len(users) > 1 {
			return nil, daemon.Errorf(daemon.Conflict, "%s is attached to other apps too, whose data would go back with that of %s", at.Addon, target.App).
				WithHint("restore it for all of them: towline backups %s; then roll back without --with-data", at.Addon)
		}
		backups, err := daemon.Read(ctx, re.Store, func(tx daemon.Tx) ([]daemon.Backup, error) { return daemon.BackupsOf(tx, at.Addon) })
		if err != nil {
			return nil, err
		}
		b, ok := re.newestLeftBy(backups, target.App, versions)
		if !ok {
			return nil, daemon.Errorf(daemon.Conflict, "no backup is kept of %s as v%d left it", at.Addon, target.Version).
				WithHint("towline backups:on-release on -a %s has one taken before each release; the newest %d are kept", target.App, keptReleaseBackups)
		}
		items = append(items, rollbackItem{at.Addon, b.ID, backupID(at.Addon, daemon.Now())})
	}
	return items, nil
}

// sameCode are the version of a release and those right after it that have the same
// image, like a change of config: their data is that of the same code.
func (re *Restores) sameCode(ctx context.Context, target daemon.Release) (versions []int, err error) {
	releases, err := re.Apps.Releases(ctx, target.App)
	for _, r := range slices.Backward(releases) { // oldest first
		if r.Version < target.Version || r.Status != daemon.ReleaseGood {
			continue
		}
		if r.Image != target.Image {
			break
		}
		versions = append(versions, r.Version)
	}
	return versions, err
}

// newestLeftBy is the newest good backup of the first version that has one.
func (re *Restores) newestLeftBy(backups []daemon.Backup, app string, versions []int) (daemon.Backup, bool) {
	for _, version := range versions {
		for _, b := range backups { // newest first
			if of := detailOf(b).Of; b.Status == daemon.BackupGood && of == re.leftBy(app, version) {
				return b, true
			}
		}
	}
	return daemon.Backup{}, false
}

// undoRollback puts back the data that a rollback has replaced.
func (re *Restores) undoRollback(ctx context.Context, op *journal.Operation, data rollbackData, out io.Writer) (err error) {
	for _, item := range data.Items {
		if rerr := re.takeBack(ctx, op, item, out); rerr != nil {
			if errors.Is(rerr, daemon.ErrClosing) {
				return rerr // the next start does it
			}
			err = errors.Join(err, fmt.Errorf("%s could not get its data of before back: %w", item.Addon, rerr))
		}
	}
	if err != nil {
		re.Logs.Write(op.Subject, "system", "release", err.Error())
	}
	return errors.Join(err, re.endRollback(ctx, op, out))
}

// takeBack restores the data that a rollback has replaced, if it came so far.
func (re *Restores) takeBack(ctx context.Context, op *journal.Operation, item rollbackItem, out io.Writer) error {
	if err := re.keepReplaced(ctx, item); err != nil {
		return err
	}
	if _, err := re.backups.Backup(ctx, item.Safety); daemon.IsKind(err, daemon.NotFound) {
		return nil
	}
	_, err := re.Restore(ctx, RestoreRequest{Backup: item.Safety, Member: op.Member, part: true}, out)
	return err
}

// keepReplaced ends a restore that has replaced the data, but failed to make a backup of
// that of before.
func (re *Restores) keepReplaced(ctx context.Context, item rollbackItem) error {
	unlock, err := re.Journal.LockAddon(ctx, item.Addon, nil)
	if err != nil {
		return err
	}
	defer unlock()
	ops, err := daemon.Read(ctx, re.Store, daemon.Tx.Operations)
	if err != nil {
		return err
	}
	for _, o := range ops {
		data, derr := journal.Decode[backupData](o)
		if o.Kind != opRestore || o.Step != "current" || derr != nil || data.Safety != item.Safety {
			continue
		}
		old, err := re.Addons.Addon(ctx, item.Addon)
		if err != nil {
			return err
		}
		old.Generation = data.Generation - 1
		return re.goOnKeeping(ctx, re.Journal.Resume(o), old, nil)
	}
	return nil
}

// endRollback lets the requests go. That is a step of its own: once they write, the data
// must not be put back again.
func (re *Restores) endRollback(ctx context.Context, op *journal.Operation, out io.Writer) error {
	done := func(tx daemon.Tx) error {
		data, err := journal.Decode[rollbackData](op.Operation)
		if err != nil || op.Event == nil {
			return err
		}
		app, err := tx.App(op.Subject)
		if op.Event.Release = app.Current; err != nil || app.Current == data.From {
			return err // it was taken back
		}
		return op.Done(tx)
	}
	if err := op.Next(ctx, "resume", nil, done); err != nil {
		return err
	}
	err := re.Life.Outlast(ctx, out, func(ctx context.Context) error { return re.Router.Resume(ctx, op.Subject) })
	if err != nil && !daemon.IsKind(err, daemon.NotFound) {
		return err
	}
	return op.Finish(ctx)
}

// recoverRollback: once the old release is current the old data stays; before that the
// data that was replaced comes back. What the rollback is made of was recovered before.
func (re *Restores) recoverRollback(ctx context.Context, op *journal.Operation) error {
	data, err := journal.Decode[rollbackData](op.Operation)
	if err != nil {
		return err
	}
	app, err := re.Apps.App(ctx, op.Subject)
	if daemon.IsKind(err, daemon.NotFound) {
		return op.Finish(ctx)
	}
	if err != nil {
		return err
	}
	if app.Current != data.From || op.Step == "resume" {
		return re.endRollback(ctx, op, nil)
	}
	return re.undoRollback(ctx, op, data, nil)
}
