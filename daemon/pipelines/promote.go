package pipelines

import (
	"context"
	"io"

	"golang.org/x/sync/errgroup"

	"towline/daemon"
	"towline/daemon/people"
	"towline/daemon/work"
)

// Plan is a promotion that may be: of what, and to which apps.
type Plan struct {
	Pipeline string         `json:"pipeline"`
	Source   daemon.Release `json:"source"`
	ImageID  string         `json:"image_id"` // the same in every app that it is promoted to
	Targets  []Place        `json:"targets"`

	image daemon.Image
}

// Targets are the apps that an app would be promoted to: those of the next stage, or those that
// are named, which may be in any stage of its pipeline. Of apps that the member may not view they
// learn how many there are, as from Info.
func (ps *Pipelines) Targets(ctx context.Context, member, app string, to []string) (names []string, err error) {
	err = ps.Store.View(ctx, func(tx daemon.Tx) error {
		from, err := couplingOf(tx, app)
		if err != nil {
			return err
		}
		seen, hidden, err := seenBy(tx, member, from.Pipeline)
		if err != nil {
			return err
		}
		if n := len(ofStage(hidden, from.Stage.Next())); n > 0 && len(to) == 0 {
			return daemon.Errorf(daemon.Forbidden, "of the apps of the pipeline %s in %s there are %d that you may not view", from.Pipeline, from.Stage.Next(), n).
				WithHint("name others with --to APP; towline pipelines:info %s", from.Pipeline)
		}
		targets, err := choose(from, seen, to)
		for _, c := range targets {
			names = append(names, c.App)
		}
		return err
	})
	return names, err
}

// seenBy are the places of a pipeline whose apps the member may view, and the others.
func seenBy(tx daemon.Tx, member, pipeline string) (seen, hidden []daemon.Coupling, err error) {
	all, err := tx.Couplings(pipeline)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range all {
		ok, err := people.May(tx, member, c.App, daemon.View)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			seen = append(seen, c)
		} else {
			hidden = append(hidden, c)
		}
	}
	return seen, hidden, nil
}

func ofStage(all []daemon.Coupling, stage daemon.Stage) (some []daemon.Coupling) {
	for _, c := range all {
		if c.Stage == stage {
			some = append(some, c)
		}
	}
	return some
}

// Plan tells what a promotion of an app's current release to targets of Targets would do.
func (ps *Pipelines) Plan(ctx context.Context, app string, to []string) (plan Plan, err error) {
	err = ps.Store.View(ctx, func(tx daemon.Tx) error {
		from, err := couplingOf(tx, app)
		if err != nil {
			return err
		}
		all, err := tx.Couplings(from.Pipeline)
		if err != nil {
			return err
		}
		targets, err := choose(from, all, to)
		if err != nil {
			return err
		}
		plan.Pipeline = from.Pipeline
		for _, c := range targets {
			place, err := placeOf(tx, c)
			if err != nil {
				return err
			}
			plan.Targets = append(plan.Targets, place)
		}
		return nil
	})
	if err != nil {
		return plan, err
	}
	plan.Source, plan.image, err = ps.Releases.PromotionSource(ctx, app)
	plan.ImageID = plan.image.ID
	return plan, err
}

// choose finds the apps to promote to among those of a pipeline.
func choose(from daemon.Coupling, all []daemon.Coupling, to []string) (targets []daemon.Coupling, err error) {
	if len(to) == 0 {
		next := from.Stage.Next()
		if next == "" {
			return nil, daemon.Errorf(daemon.Conflict, "%s is in %s, and nothing comes after that", from.App, from.Stage).
				WithHint("name apps of the pipeline with --to APP; towline pipelines:info %s", from.Pipeline)
		}
		if targets = ofStage(all, next); len(targets) == 0 {
			return nil, daemon.Errorf(daemon.Conflict, "the pipeline %s has no app in %s, which comes after %s", from.Pipeline, next, from.Stage).
				WithHint("towline pipelines:add %s -a APP --stage %s", from.Pipeline, next)
		}
		return targets, nil
	}
	for _, name := range to {
		i := indexOf(all, name)
		switch {
		case name == from.App:
			return nil, daemon.Errorf(daemon.Invalid, "%s can't be promoted to itself", name).WithHint("towline pipelines:info %s", from.Pipeline)
		case i < 0:
			return nil, daemon.Errorf(daemon.NotFound, "%s is not in the pipeline %s", daemon.Clip(name), from.Pipeline).
				WithHint("towline pipelines:info %s", from.Pipeline)
		case indexOf(targets, name) < 0:
			targets = append(targets, all[i])
		}
	}
	return targets, nil
}

// Promotion is how the promotion to one app has ended. Its fields are Heroku's.
type Promotion struct {
	App     string          `json:"app"`
	Status  string          `json:"status"` // succeeded or failed
	Release *daemon.Release `json:"release"`
	Message string          `json:"error_message"`
	Err     error           `json:"-"`
}

// How the promotion to an app ends.
const (
	Succeeded = "succeeded"
	Failed    = "failed"
)

// atOnce is how many apps are released side by side.
const atOnce = 4

// Promote carries a plan out. Each target has its own end: one that fails serves what it served
// before, and the others have the new release. out has the output of all, each line with its app
// if there are several.
func (ps *Pipelines) Promote(ctx context.Context, plan Plan, member string, out io.Writer) []Promotion {
	ended := make([]Promotion, len(plan.Targets))
	var g errgroup.Group
	g.SetLimit(atOnce)
	lines := work.NewLines(out)
	for i, target := range plan.Targets {
		g.Go(func() error {
			to := out
			if len(plan.Targets) > 1 {
				w := lines.Prefixed(target.App + ": ")
				defer w.Close()
				to = w
			}
			var rel daemon.Release
			err := daemon.Try("a promotion", func() (err error) {
				rel, err = ps.Releases.Promote(ctx, target.App, member, plan.Source, plan.image, to)
				return err
			})
			ended[i] = Promotion{App: target.App, Status: Succeeded, Release: &rel}
			if err != nil {
				ended[i].Status, ended[i].Message, ended[i].Err = Failed, err.Error(), err
				if rel.Version == 0 {
					ended[i].Release = nil
				}
			}
			return nil
		})
	}
	_ = g.Wait()
	return ended
}
