package apps

import (
	"context"
	"errors"
	"slices"

	"towline/daemon"
	"towline/daemon/journal"
)

// recoverRelease decides a release that was cut short. Before the switch the old one
// stays; once the proxy serves the new one it is current.
func (rl *Releases) recoverRelease(ctx context.Context, op *journal.Operation) error {
	if op.Step == "build" {
		data, err := journal.Decode[deployData](op.Operation)
		if err != nil {
			return err
		}
		err = errors.Join(rl.Builder.Clean(ctx, data.Build),
			rl.Engine.UntagImage(ctx, rl.Containers.ImageName(op.Subject, data.Build)))
		return errors.Join(err, op.Finish(ctx, func(tx daemon.Tx) error { return interrupted(tx, op.Subject) }))
	}
	if op.Step == "image" {
		data, err := journal.Decode[promoteData](op.Operation)
		if err != nil {
			return err
		}
		if err := rl.Engine.UntagImage(ctx, data.Image); err != nil {
			return err
		}
		return op.Finish(ctx)
	}
	rel, err := rl.pendingRelease(ctx, op)
	if daemon.IsKind(err, daemon.NotFound) {
		return op.Finish(ctx) // current already: startAll retires the old processes
	}
	if err != nil {
		return err
	}
	if op.Step == "swap" {
		served, err := rl.serves(ctx, op)
		if err != nil {
			return err
		}
		if served {
			app, err := rl.App(ctx, rel.App)
			if err != nil {
				return err
			}
			data, err := journal.Decode[rollData](op.Operation)
			if err != nil {
				return err
			}
			var due *journal.Operation
			err = op.Finish(ctx, func(tx daemon.Tx) (err error) {
				if err := tellRelease(tx, op.Event, rel, app.Current); err != nil {
					return err
				}
				rel.Status = daemon.ReleaseGood
				app.Formation, app.Kept = fitFormation(app, rel.Processes)
				due, err = rl.isDue(tx, rel, data.After)
				return errors.Join(err, tx.UpdateRelease(rel), tx.UpdateApp(app), makeCurrent(tx, rel))
			}, op.Done)
			if err != nil {
				return err
			}
			return rl.runDue(ctx, due, nil)
		}
	}
	rel.Error = "towlined was stopped before the release served"
	return rl.failRelease(ctx, op, rel)
}

func (rl *Releases) pendingRelease(ctx context.Context, op *journal.Operation) (daemon.Release, error) {
	releases, err := daemon.Read(ctx, rl.Store, func(tx daemon.Tx) ([]daemon.Release, error) { return tx.Releases(op.Subject) })
	if err != nil {
		return daemon.Release{}, err
	}
	data, err := journal.Decode[rollData](op.Operation)
	if err != nil {
		return daemon.Release{}, err
	}
	i := slices.IndexFunc(releases, func(r daemon.Release) bool {
		return r.Status == daemon.ReleasePending && (data.Version == 0 || data.Version == r.Version)
	})
	if i < 0 {
		return daemon.Release{}, daemon.Errorf(daemon.NotFound, "%s has no pending release", op.Subject)
	}
	return releases[i], nil
}

// serves tells whether the proxy's route of the app is the one that the operation
// was about to set.
func (rl *Releases) serves(ctx context.Context, op *journal.Operation) (bool, error) {
	data, err := journal.Decode[rollData](op.Operation)
	if err != nil {
		return false, err
	}
	route, err := rl.routes.routeOf(ctx, op.Subject)
	if err != nil || route == nil {
		return false, err
	}
	var serving []string
	for _, t := range route.Targets {
		serving = append(serving, t.ID)
	}
	want := slices.Clone(data.Web)
	slices.Sort(want)
	slices.Sort(serving)
	return len(want) > 0 && slices.Equal(want, serving), nil
}
