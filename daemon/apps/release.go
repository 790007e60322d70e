package apps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
)

// release carries a pending release, recorded at the operation's step "release",
// to where it serves: release phase, new containers, ready, swap, current. On error
// the release is failed, and what served before serves on.
func (rl *Releases) release(ctx context.Context, op *journal.Operation, rel *daemon.Release, s *scripts, out io.Writer) error {
	err := op.Do(ctx, out, func(ctx context.Context) error {
		err := daemon.Try("a release", func() error { return rl.tryRelease(ctx, op, rel, s, out) })
		if err != nil && !errors.Is(context.Cause(ctx), daemon.ErrClosing) {
			// It may quote what a process wrote.
			rel.Error = Hiding(rel.Config).Replace(err.Error())
			rl.Logs.Write(rel.App, "system", "release", fmt.Sprintf("Release v%d failed: %s", rel.Version, rel.Error))
		}
		return err
	}, func(ctx context.Context) error { return rl.failRelease(ctx, op, *rel) })
	if err == nil {
		rl.Logs.Write(rel.App, "system", "release", fmt.Sprintf("Release v%d: %s by %s", rel.Version, rel.Description, daemon.Who(rel.Member)))
	}
	return err
}

func (rl *Releases) tryRelease(ctx context.Context, op *journal.Operation, rel *daemon.Release, s *scripts, out io.Writer) error {
	app, err := rl.App(ctx, rel.App)
	if err != nil {
		return err
	}
	if err := rl.runBefore(ctx, op, rel, s.before, out); err != nil {
		return err
	}
	formation, kept := fitFormation(app, rel.Processes)
	if err := rl.processes.roomForProcesses(rel.App, app.Formation, formation); err != nil {
		return err
	}
	if deployed, err := rl.isDeployed(ctx, app); err != nil {
		return err
	} else if deployed {
		sayGone(out, app.Formation, kept)
	}
	r := rollout{release: *rel, formation: formation, version: rel.Version, after: s.after}
	return rl.processes.roll(ctx, op, &r, out, func(tx daemon.Tx) error {
		app, err := tx.App(rel.App)
		if err != nil {
			return err
		}
		if err := tellRelease(tx, op.Event, *rel, app.Current); err != nil {
			return err
		}
		rel.Status = daemon.ReleaseGood
		app.Current, app.Config, app.Formation, app.Kept = rel.Version, rel.Config, r.formation, kept
		s.op, err = rl.isDue(tx, *rel, s.after)
		return errors.Join(err, tx.UpdateRelease(*rel), tx.UpdateApp(app))
	})
}

// fitFormation gives each type of a release its count, that of before or one that was kept
// for it, and keeps the counts of the types that the release does not have: after a
// rollback there are as many workers as there were. A first release runs one web process
// and nothing else, as on Heroku.
func fitFormation(app daemon.App, types map[string]daemon.Process) (now, kept daemon.Formation) {
	now, kept = daemon.Formation{}, daemon.Formation{}
	maps.Copy(kept, app.Kept)
	maps.Copy(kept, app.Formation)
	for t := range types {
		if t == "release" {
			continue
		}
		n, known := kept[t]
		if !known && t == "web" {
			n = 1
		}
		now[t] = n
		delete(kept, t)
	}
	maps.DeleteFunc(kept, func(_ string, n int) bool { return n == 0 })
	return now, kept
}

// sayGone tells of the processes that end because a release does not have their type.
func sayGone(out io.Writer, before, kept daemon.Formation) {
	for _, t := range daemon.SortedKeys(kept) {
		if n := before[t]; n > 0 {
			work.Say(out, " !     This release has no %s, of which %d ran. The count is kept for when it comes back", t, n)
		}
	}
}

// failRelease undoes a release that never served.
func (rl *Releases) failRelease(ctx context.Context, op *journal.Operation, rel daemon.Release) error {
	rel.Status = daemon.ReleaseFailed
	err := rl.Containers.RemoveWhere(ctx, map[string]string{daemon.LabelApp: rel.App}, func(c daemon.Container) bool {
		return c.Labels[daemon.LabelOperation] == fmt.Sprint(op.ID)
	})
	if daemon.IsAway(err) {
		return err
	}
	if (op.Kind == opDeploy || op.Kind == opPromote) && rel.Image != "" {
		// One that can't be removed now goes with those that are too old.
		if uerr := rl.Engine.UntagImage(ctx, rel.Image); uerr != nil {
			err = errors.Join(err, uerr)
		} else {
			rel.Image = ""
		}
	}
	if daemon.IsAway(err) {
		return err
	}
	return errors.Join(err, op.Finish(ctx, func(tx daemon.Tx) error {
		return errors.Join(tellRelease(tx, op.Event, rel, 0), tx.UpdateRelease(rel))
	}))
}

// A BeforeRelease does what an app wants done before each of its releases, and fails if nothing
// must be released without it. The app is locked.
type BeforeRelease interface {
	BeforeRelease(ctx context.Context, app, member string, out io.Writer) error
}

// OnRelease has b called before each release, from now on. It is for those who wire.
func (rl *Releases) OnRelease(b BeforeRelease) { rl.before = append(rl.before, b) }

func (rl *Releases) beforeRelease(ctx context.Context, app, member string, out io.Writer) error {
	for _, b := range rl.before {
		if err := b.BeforeRelease(ctx, app, member, out); err != nil {
			return err
		}
	}
	return nil
}

// change makes a new release of an app from its current one: config, add-ons and
// rollbacks are releases too. edit gets the release to be, and may refuse.
func (rl *Releases) change(ctx context.Context, event daemon.Activity, out io.Writer, edit func(daemon.Tx, *daemon.Release) error) (daemon.Release, error) {
	unlock, err := rl.Journal.LockApp(ctx, event.App, out)
	if err != nil {
		return daemon.Release{}, err
	}
	defer unlock()
	if err := rl.beforeRelease(ctx, event.App, event.Member, out); err != nil {
		return daemon.Release{}, err
	}
	return rl.changeLocked(ctx, event, out, edit)
}

const opRelease = "release"

func (rl *Releases) releaseKind() journal.Kind {
	return journal.Kind{Name: opRelease, Text: "a release", Of: journal.OfApp, Background: "current",
		Steps:   []string{"release", "release-phase", "start", "swap", "current"},
		Recover: rl.recoverRelease}
}

// ChangeLocked is a change that is part of another, whose event tells of both. The app is locked.
func (rl *Releases) ChangeLocked(ctx context.Context, app, member string, out io.Writer, edit func(daemon.Tx, *daemon.Release) error) (daemon.Release, error) {
	return rl.changeLocked(ctx, daemon.Activity{App: app, Member: member}, out, edit)
}

func (rl *Releases) changeLocked(ctx context.Context, event daemon.Activity, out io.Writer, edit func(daemon.Tx, *daemon.Release) error) (daemon.Release, error) {
	app, member := event.App, event.Member
	ctx, cancel := rl.Life.Detach(ctx)
	defer cancel()
	rel, err := daemon.Read(ctx, rl.Store, func(tx daemon.Tx) (daemon.Release, error) { return nextRelease(tx, app, member) })
	if err != nil {
		return daemon.Release{}, err
	}
	insert := func(tx daemon.Tx) error {
		if err := edit(tx, &rel); err != nil {
			return err
		}
		return tx.InsertRelease(&rel)
	}
	// Without an image there is nothing to start: the release is good at once.
	if rel.Image == "" {
		err := rl.Store.Update(ctx, func(tx daemon.Tx) error {
			rel.Status = daemon.ReleaseGood
			return errors.Join(insert(tx), makeCurrent(tx, rel), recordRelease(tx, event, rel))
		})
		return rel, err
	}
	op, err := rl.Journal.Begin(ctx, opRelease, app, event, "release", nil, insert)
	if err != nil {
		return daemon.Release{}, err
	}
	err = rl.release(ctx, op, &rel, &scripts{}, out) // which changes rel
	return rel, err
}

// nextRelease is a copy of the app's current release, to be changed.
func nextRelease(tx daemon.Tx, app, member string) (daemon.Release, error) {
	a, err := tx.App(app)
	if err != nil {
		return daemon.Release{}, err
	}
	rel := daemon.Release{App: app}
	if a.Current > 0 {
		if rel, err = tx.Release(app, a.Current); err != nil {
			return daemon.Release{}, err
		}
	}
	rel.Version, rel.Status, rel.Member, rel.Created = 0, daemon.ReleasePending, member, daemon.Now()
	rel.Output, rel.Error, rel.Origin = "", "", nil
	rel.Config = maps.Clone(a.Config)
	if rel.Config == nil {
		rel.Config = map[string]string{}
	}
	return rel, nil
}

// tellRelease adds to the event of a release which it is, and how to go back to what is current.
func tellRelease(tx daemon.ReleaseTx, event *daemon.Activity, rel daemon.Release, current int) error {
	if event == nil {
		return nil
	}
	event.Release = rel.Version
	if event.Undo != "" || current == 0 {
		return nil
	}
	before, err := tx.Release(rel.App, current)
	if before.Image != "" {
		event.Undo = fmt.Sprintf("releases:rollback v%d", current)
	}
	return err
}

// recordRelease records the event of a release that is good at once.
func recordRelease(tx daemon.ActivityTx, event daemon.Activity, rel daemon.Release) error {
	if event.Kind == "" {
		return nil
	}
	event.Time, event.Release = daemon.Now(), rel.Version
	return tx.RecordActivity(event)
}

func makeCurrent(tx daemon.AppTx, rel daemon.Release) error {
	app, err := tx.App(rel.App)
	if err != nil {
		return err
	}
	app.Current, app.Config = rel.Version, rel.Config
	return tx.UpdateApp(app)
}

// Rollback makes a new release from the image and config of an earlier good one;
// version 0 is the one before the current. The config vars of add-ons keep their
// present values: an add-on's password is not a thing of the past.
func (rl *Releases) Rollback(ctx context.Context, app, member string, version int, out io.Writer) (daemon.Release, error) {
	target, err := rl.RollbackTarget(ctx, app, version)
	if err != nil {
		return daemon.Release{}, err
	}
	work.Stage(out, "Rolling back to v%d", target.Version)
	event := daemon.Activity{Kind: daemon.RolledBack, Member: member, App: app, Text: fmt.Sprintf("rolled back to v%d", target.Version)}
	return rl.change(ctx, event, out, RollbackTo(target))
}

// RollbackTo makes a copy of the current release one of an earlier release.
func RollbackTo(target daemon.Release) func(daemon.Tx, *daemon.Release) error {
	return func(tx daemon.Tx, rel *daemon.Release) error {
		present := rel.Config
		rel.Description = fmt.Sprintf("Rollback to v%d", target.Version)
		rel.Image, rel.Kind, rel.Commit, rel.Origin = target.Image, target.Kind, target.Commit, target.Origin
		rel.Processes, rel.Health = target.Processes, target.Health
		rel.Config = maps.Clone(target.Config)
		attached, err := tx.Attachments()
		for _, at := range attached {
			for _, key := range at.Vars {
				if at.App == target.App {
					rel.Config[key] = present[key]
				}
			}
		}
		return err
	}
}

// RollbackTarget is the release to go back to, whose image is kept.
func (rl *Releases) RollbackTarget(ctx context.Context, app string, version int) (daemon.Release, error) {
	target, err := rl.findTarget(ctx, app, version)
	if err == nil {
		err = checkConfig(target)
	}
	if err != nil {
		return target, err
	}
	_, err = rl.Engine.Image(ctx, target.Image)
	if daemon.IsKind(err, daemon.NotFound) {
		err = daemon.Errorf(daemon.Conflict, "the image of v%d is no longer kept", target.Version).WithHint("towline releases -a %s", app)
	}
	return target, err
}

// checkConfig fails if there are no config vars to go back to.
func checkConfig(r daemon.Release) error {
	if !r.ConfigDropped {
		return nil
	}
	return daemon.Errorf(daemon.Conflict, "the config vars of v%d are no longer kept: an app's newest %d releases have theirs", r.Version, daemon.KeptConfigs).
		WithHint("towline releases -a %s lists newer ones to go back to", r.App)
}

// history is the app with its releases, the newest first.
func (rl *Releases) history(ctx context.Context, app string) (daemon.App, []daemon.Release, error) {
	releases, err := rl.Releases(ctx, app)
	if err != nil {
		return daemon.App{}, nil, err
	}
	a, err := rl.App(ctx, app)
	return a, releases, err
}

func (rl *Releases) findTarget(ctx context.Context, app string, version int) (daemon.Release, error) {
	a, releases, err := rl.history(ctx, app)
	if err != nil {
		return daemon.Release{}, err
	}
	for _, r := range releases {
		switch {
		case version == 0 && r.Version < a.Current && r.Status == daemon.ReleaseGood && r.Image != "":
			return r, nil
		case version == 0 || r.Version != version:
		case r.Version == a.Current:
			return daemon.Release{}, daemon.Errorf(daemon.Conflict, "v%d is the current release", version).WithHint("towline releases -a %s", app)
		case r.Status != daemon.ReleaseGood:
			return daemon.Release{}, daemon.Errorf(daemon.Conflict, "v%d never served: it %s", version, strings.TrimSuffix(string(r.Status), "."))
		case r.Image == "" && r.Kind != "":
			return daemon.Release{}, daemon.Errorf(daemon.Conflict, "the image of v%d is no longer kept", version).WithHint("towline releases -a %s", app)
		case r.Image == "":
			return daemon.Release{}, daemon.Errorf(daemon.Conflict, "v%d has no image: it was made before the first deploy", version)
		default:
			return r, nil
		}
	}
	if version == 0 {
		return daemon.Release{}, daemon.Errorf(daemon.Conflict, "%s has no earlier release to go back to", app).WithHint("towline releases -a %s", app)
	}
	return daemon.Release{}, daemon.Errorf(daemon.NotFound, "%s has no release v%d", app, version).WithHint("towline releases -a %s", app)
}
