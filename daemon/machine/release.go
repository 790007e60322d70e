package machine

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
func (d *Daemon) release(ctx context.Context, op *journal.Operation, rel *daemon.Release, out io.Writer) error {
	err := op.Do(ctx, out, func(ctx context.Context) error {
		err := daemon.Try("a release", func() error { return d.tryRelease(ctx, op, rel, out) })
		if err != nil && !errors.Is(context.Cause(ctx), daemon.ErrClosing) {
			d.Logs.Write(rel.App, "system", "release", fmt.Sprintf("Release v%d failed: %v", rel.Version, err))
			rel.Error = err.Error()
		}
		return err
	}, func(ctx context.Context) error { return d.failRelease(ctx, op, *rel) })
	if err == nil {
		d.Logs.Write(rel.App, "system", "release", fmt.Sprintf("Release v%d: %s by %s", rel.Version, rel.Description, daemon.Who(rel.Member)))
	}
	return err
}

func (d *Daemon) tryRelease(ctx context.Context, op *journal.Operation, rel *daemon.Release, out io.Writer) error {
	app, err := d.App(ctx, rel.App)
	if err != nil {
		return err
	}
	if p, ok := rel.Processes["release"]; ok {
		if err := d.Engine.EnsureNetwork(ctx, d.Containers.NetworkName(app.Name), map[string]string{daemon.LabelApp: app.Name}); err != nil {
			return err
		}
		if err := op.Next(ctx, "release-phase", nil); err != nil {
			return err
		}
		work.Stage(out, "Release phase: %s", p.Command)
		if err := d.releasePhase(ctx, op, rel, p, out); err != nil {
			return err
		}
	}
	formation, kept := fitFormation(app, rel.Processes)
	sayGone(out, app.Formation, kept)
	r := rollout{release: *rel, formation: formation, version: rel.Version}
	return d.roll(ctx, op, &r, out, func(tx daemon.Tx) error {
		app, err := tx.App(rel.App)
		if err != nil {
			return err
		}
		rel.Status = daemon.ReleaseGood
		app.Current, app.Config, app.Formation, app.Kept = rel.Version, rel.Config, r.formation, kept
		return errors.Join(tx.UpdateRelease(*rel), tx.UpdateApp(app))
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

// releasePhase runs the release process once, before anything of the release
// serves.
func (d *Daemon) releasePhase(ctx context.Context, op *journal.Operation, rel *daemon.Release, p daemon.Process, out io.Writer) error {
	spec := d.processSpec(*rel, p, "release", 1, fmt.Sprint(op.ID))
	if err := d.Containers.Create(ctx, spec); err != nil {
		return err
	}
	w := work.NewIndent(out)
	code, err := d.Engine.RunAttached(ctx, spec.Name, daemon.Streams{Stdout: w, Stderr: w})
	w.Flush()
	rel.Output = w.String()
	why := d.limitMet(ctx, spec.Name, code)
	err = errors.Join(err, d.Engine.RemoveContainer(context.WithoutCancel(ctx), spec.Name))
	if err != nil {
		return err
	}
	if why != "" {
		return daemon.Errorf(daemon.Failed, "the release phase: %s", why).WithHint(limitHint)
	}
	if code != 0 {
		return daemon.Errorf(daemon.Failed, "the release phase failed with exit code %d", code).
			WithHint("its output is above; the release that served before serves on")
	}
	return nil
}

// failRelease undoes a release that never served.
func (d *Daemon) failRelease(ctx context.Context, op *journal.Operation, rel daemon.Release) error {
	rel.Status = daemon.ReleaseFailed
	err := d.Containers.RemoveWhere(ctx, map[string]string{daemon.LabelApp: rel.App}, func(c daemon.Container) bool {
		return c.Labels[daemon.LabelOperation] == fmt.Sprint(op.ID)
	})
	if daemon.IsAway(err) {
		return err
	}
	if op.Kind == opDeploy && rel.Image != "" {
		err = errors.Join(err, d.Engine.UntagImage(ctx, rel.Image))
		rel.Image = ""
	}
	return errors.Join(err, op.Finish(ctx, func(tx daemon.Tx) error { return tx.UpdateRelease(rel) }))
}

// change makes a new release of an app from its current one: config, add-ons and
// rollbacks are releases too. edit gets the release to be, and may refuse.
func (d *Daemon) change(ctx context.Context, app, member string, out io.Writer, edit func(daemon.Tx, *daemon.Release) error) (daemon.Release, error) {
	unlock, err := d.Journal.LockApp(ctx, app, out)
	if err != nil {
		return daemon.Release{}, err
	}
	defer unlock()
	if err := d.backUpForRelease(ctx, app, member, out); err != nil {
		return daemon.Release{}, err
	}
	return d.changeLocked(ctx, app, member, out, edit)
}

const opRelease = "release"

func (d *Daemon) releaseKind() journal.Kind {
	return journal.Kind{Name: opRelease, Text: "a release", Of: journal.OfApp, Background: "current",
		Steps:   []string{"release", "release-phase", "start", "swap", "current"},
		Recover: d.recoverRelease}
}

func (d *Daemon) changeLocked(ctx context.Context, app, member string, out io.Writer, edit func(daemon.Tx, *daemon.Release) error) (daemon.Release, error) {
	ctx, cancel := d.Life.Detach(ctx)
	defer cancel()
	rel, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) (daemon.Release, error) { return nextRelease(tx, app, member) })
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
		err := d.Store.Update(ctx, func(tx daemon.Tx) error {
			rel.Status = daemon.ReleaseGood
			return errors.Join(insert(tx), makeCurrent(tx, rel))
		})
		return rel, err
	}
	op, err := d.Journal.Begin(ctx, opRelease, app, member, "release", nil, insert)
	if err != nil {
		return daemon.Release{}, err
	}
	err = d.release(ctx, op, &rel, out) // which changes rel
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
	rel.Output, rel.Error = "", ""
	rel.Config = maps.Clone(a.Config)
	if rel.Config == nil {
		rel.Config = map[string]string{}
	}
	return rel, nil
}

func makeCurrent(tx daemon.Tx, rel daemon.Release) error {
	app, err := tx.App(rel.App)
	if err != nil {
		return err
	}
	app.Current, app.Config = rel.Version, rel.Config
	return tx.UpdateApp(app)
}

// Releases lists an app's releases, newest first.
func (d *Daemon) Releases(ctx context.Context, app string) ([]daemon.Release, error) {
	return daemon.Read(ctx, d.Store, func(tx daemon.Tx) ([]daemon.Release, error) {
		if _, err := tx.App(app); err != nil {
			return nil, err
		}
		return tx.Releases(app)
	})
}

// Release returns one release; version 0 is the current one.
func (d *Daemon) Release(ctx context.Context, app string, version int) (daemon.Release, error) {
	return daemon.Read(ctx, d.Store, func(tx daemon.Tx) (daemon.Release, error) {
		a, err := tx.App(app)
		if err != nil {
			return daemon.Release{}, err
		}
		if version == 0 {
			version = a.Current
		}
		if version == 0 {
			return daemon.Release{}, daemon.Errorf(daemon.NotFound, "%s has no release yet", app).WithHint("git push towline main")
		}
		return tx.Release(app, version)
	})
}

// Rollback makes a new release from the image and config of an earlier good one;
// version 0 is the one before the current. The config vars of add-ons keep their
// present values: an add-on's password is not a thing of the past.
func (d *Daemon) Rollback(ctx context.Context, app, member string, version int, out io.Writer) (daemon.Release, error) {
	target, err := d.rollbackTarget(ctx, app, version)
	if err != nil {
		return daemon.Release{}, err
	}
	work.Stage(out, "Rolling back to v%d", target.Version)
	return d.change(ctx, app, member, out, rollbackTo(target))
}

// rollbackTo makes a copy of the current release one of an earlier release.
func rollbackTo(target daemon.Release) func(daemon.Tx, *daemon.Release) error {
	return func(tx daemon.Tx, rel *daemon.Release) error {
		present := rel.Config
		rel.Description = fmt.Sprintf("Rollback to v%d", target.Version)
		rel.Image, rel.Kind, rel.Commit = target.Image, target.Kind, target.Commit
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

// rollbackTarget is the release to go back to, whose image is kept.
func (d *Daemon) rollbackTarget(ctx context.Context, app string, version int) (daemon.Release, error) {
	target, err := d.findTarget(ctx, app, version)
	if err == nil {
		err = checkConfig(target)
	}
	if err != nil {
		return target, err
	}
	_, err = d.Engine.Image(ctx, target.Image)
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

func (d *Daemon) findTarget(ctx context.Context, app string, version int) (daemon.Release, error) {
	releases, err := d.Releases(ctx, app)
	if err != nil {
		return daemon.Release{}, err
	}
	a, err := d.App(ctx, app)
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

// keptImages is how many images of an app are kept to roll back to, the newest.
const keptImages = 10

// pruneImages removes the images of releases that are too old to roll back to, and has
// these forget them, and their config vars: what could not be removed is tried again after
// the next release.
func (d *Daemon) pruneImages(ctx context.Context, app string) error {
	unlock, err := d.Journal.LockApp(ctx, app, nil) // nobody rolls back to one meanwhile
	if err != nil {
		return err
	}
	defer unlock()
	releases, err := daemon.Read(ctx, d.Store, func(tx daemon.Tx) ([]daemon.Release, error) { return tx.Releases(app) })
	if err != nil {
		return err
	}
	kept := map[string]bool{"": true}
	removed := map[string]bool{}
	for _, r := range releases { // newest first
		if kept[r.Image] || removed[r.Image] {
			continue
		}
		if len(kept) <= keptImages {
			kept[r.Image] = true
			continue
		}
		if uerr := d.Engine.UntagImage(ctx, r.Image); uerr != nil && !daemon.IsKind(uerr, daemon.NotFound) {
			err = errors.Join(err, uerr)
			continue
		}
		removed[r.Image] = true
	}
	if len(removed) == 0 {
		return err
	}
	return errors.Join(err, d.Store.Update(ctx, func(tx daemon.Tx) error {
		var errs error
		for _, r := range releases {
			if removed[r.Image] {
				r.Image, r.Config, r.ConfigDropped = "", nil, true
				errs = errors.Join(errs, tx.UpdateRelease(r))
			}
		}
		return errs
	}))
}
