package pipelines

import (
	"context"
	"errors"
	"slices"

	"towline/daemon"
	"towline/daemon/people"
)

// This file is about access by a pipeline: what a member may do with the apps of one of its stages, or
// of all. Package people adds it to what was given for each app itself.

// Given is what has come of giving access by a pipeline, or taking it.
type Given struct {
	people.Changes
	Access daemon.PipelineAccess // as it is now
	// Kept is what the member may still do with the apps that it reaches, once it is taken.
	Kept []people.Rights
}

// Grant gives a member permissions on the apps of a pipeline that a reaches, in place of those that
// they have by the same stage of it, or by all of them; none takes these away. by is who does it.
func (ps *Pipelines) Grant(ctx context.Context, a daemon.PipelineAccess, by string) (Given, error) {
	return ps.grant(ctx, a, false, by)
}

// Regrant is Grant for a member who has such access already.
func (ps *Pipelines) Regrant(ctx context.Context, a daemon.PipelineAccess, by string) (Given, error) {
	return ps.grant(ctx, a, true, by)
}

func (ps *Pipelines) grant(ctx context.Context, a daemon.PipelineAccess, again bool, by string) (given Given, err error) {
	if a.Permissions, err = people.CheckPermissions(a.Permissions); err != nil {
		return given, err
	}
	if err := checkReach(a.Stage); err != nil {
		return given, err
	}
	given.Access = a
	defer ps.People.RightsChanged(ctx)
	err = ps.Store.Update(ctx, func(tx daemon.Tx) error {
		if _, err := tx.Pipeline(a.Pipeline); err != nil {
			return err
		}
		if _, err := people.FindMember(tx, a.Member); err != nil {
			return err
		}
		// Asked before, and again here: an app may have come in between.
		if err := managesAll(tx, by, a.Pipeline, a.Reaches); err != nil {
			return err
		}
		all, err := tx.PipelineAccess(a.Pipeline)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(x daemon.PipelineAccess) bool { return x.Member == a.Member && x.Stage == a.Stage })
		taken := len(a.Permissions) == 0
		if i < 0 && (again || taken) {
			return daemon.Errorf(daemon.NotFound, "%s has no access to %s", a.Member, reach(a)).WithHint("towline access --pipeline %s lists who has", a.Pipeline)
		}
		apps, err := reached(tx, a.Pipeline, a.Reaches)
		if err != nil {
			return err
		}
		event := daemon.Activity{Time: daemon.Now(), Member: by, Subject: a.Pipeline, Names: []string{a.Member}, Undo: "access:remove " + a.Member + " " + people.PipelineFlags(a.Pipeline, a.Stage)}
		if i >= 0 {
			event.Undo = "access:add " + a.Member + " " + people.PipelineFlags(a.Pipeline, a.Stage) + " -p " + people.JoinPermissions(all[i].Permissions)
		}
		given.Changes, err = people.Changing(tx, apps, a.Pipeline, by, func() error {
			if taken {
				event.Kind, event.Text = daemon.PipelineRevoked, "took the access of "+a.Member+" to "+reach(a)+" away"
				return errors.Join(tx.DeletePipelineAccess(a.Pipeline, a.Member, a.Stage), tx.RecordActivity(event))
			}
			event.Kind, event.Text = daemon.PipelineGranted, "gave "+a.Member+" the permissions "+people.JoinPermissions(a.Permissions)+" on "+reach(a)
			for _, p := range a.Permissions {
				event.Names = append(event.Names, string(p))
			}
			return errors.Join(tx.PutPipelineAccess(a), tx.RecordActivity(event))
		})
		for _, app := range apps {
			rights, rerr := people.RightsOf(tx, app, a.Member)
			if err = errors.Join(err, rerr); taken && len(rights.From) > 0 {
				given.Kept = append(given.Kept, rights)
			}
		}
		return err
	})
	return given, err
}

// checkReach tells whether access can be by a stage; none: by all.
func checkReach(s daemon.Stage) error {
	if s == "" {
		return nil
	}
	return daemon.CheckPipelineStage(s)
}

func reach(a daemon.PipelineAccess) string {
	if a.Stage == "" {
		return "the apps of the pipeline " + a.Pipeline
	}
	return "the apps in " + string(a.Stage) + " of the pipeline " + a.Pipeline
}

// reached are the apps of a pipeline in stages of a kind.
func reached(tx daemon.Tx, pipeline string, in func(daemon.Stage) bool) ([]string, error) {
	places, err := tx.Couplings(pipeline)
	return namesOf(slices.DeleteFunc(places, func(c daemon.Coupling) bool { return !in(c.Stage) })), err
}

// Access lists what a pipeline gives members, as far as the member may see it.
func (ps *Pipelines) Access(ctx context.Context, name, member string) ([]daemon.PipelineAccess, error) {
	return daemon.Read(ctx, ps.Store, func(tx daemon.Tx) ([]daemon.PipelineAccess, error) {
		p, err := tx.Pipeline(name)
		if err != nil {
			return nil, err
		}
		return visibleAccess(tx, p, member)
	})
}

// visibleAccess is all of it to who may manage the pipeline; to others their own, and what reaches an
// app that they may view, which tells them the same.
func visibleAccess(tx daemon.Tx, p daemon.Pipeline, member string) ([]daemon.PipelineAccess, error) {
	list := []daemon.PipelineAccess{}
	all, err := tx.PipelineAccess(p.Name)
	if err != nil {
		return list, err
	}
	if manages, err := may(tx, member, p, daemon.Manage); err != nil || manages {
		return all, err
	}
	places, err := tx.Couplings(p.Name)
	if err != nil {
		return list, err
	}
	seen := map[daemon.Stage]bool{}
	for _, c := range places {
		ok, err := people.May(tx, member, c.App, daemon.View)
		if err != nil {
			return list, err
		}
		seen[c.Stage] = seen[c.Stage] || ok
	}
	for _, a := range all {
		if a.Member == member || slices.ContainsFunc(daemon.Stages, func(s daemon.Stage) bool { return seen[s] && a.Reaches(s) }) {
			list = append(list, a)
		}
	}
	return list, nil
}

// AllowedAccess fails unless the member may give and take access by a stage of the pipeline, or by
// all of them if it is empty: they have to manage the pipeline, for it is about apps that come later
// too, and each app that it reaches now, for a pipeline gives its owner no right on the apps in it.
func (ps *Pipelines) AllowedAccess(ctx context.Context, member, name string, stage daemon.Stage) error {
	if err := checkReach(stage); err != nil {
		return err
	}
	if err := ps.Allowed(ctx, member, name, daemon.Manage); err != nil {
		return err
	}
	return ps.Store.View(ctx, func(tx daemon.Tx) error {
		return managesAll(tx, member, name, daemon.PipelineAccess{Stage: stage}.Reaches)
	})
}

// AllowedEnd fails unless the member may end the pipeline: they have to manage it, and each app on
// which somebody has rights by it.
func (ps *Pipelines) AllowedEnd(ctx context.Context, member, name string) error {
	return ps.Store.View(ctx, func(tx daemon.Tx) error { return allowedEnd(tx, member, name) })
}

func allowedEnd(tx daemon.Tx, member, name string) error {
	if err := allowed(tx, member, name, daemon.Manage); err != nil {
		return err
	}
	given, err := tx.PipelineAccess(name)
	if err != nil {
		return err
	}
	return managesAll(tx, member, name, func(s daemon.Stage) bool {
		return slices.ContainsFunc(given, func(a daemon.PipelineAccess) bool { return a.Reaches(s) })
	})
}

// managesAll fails unless the member may manage each app of a pipeline in stages of a kind. It names
// none: they may not view some.
func managesAll(tx daemon.Tx, member, pipeline string, in func(daemon.Stage) bool) error {
	apps, err := reached(tx, pipeline, in)
	if err != nil {
		return err
	}
	missing := 0
	for _, app := range apps {
		ok, err := people.May(tx, member, app, daemon.Manage)
		if err != nil {
			return err
		}
		if !ok {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	return daemon.Errorf(daemon.Forbidden, "this gives or takes access to %d of the apps in %s that you may not manage", missing, pipeline).
		WithHint("ask someone who may manage each of them: towline pipelines:info %s", pipeline)
}
