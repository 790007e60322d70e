// Package pipelines is the room of pipelines: lines of apps, from review to production, along
// which a build is promoted as it is.
package pipelines

import (
	"context"
	"errors"
	"slices"
	"strings"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/people"
)

// Options are what the room is made of.
type Options struct {
	Store        daemon.Store
	Repositories daemon.Repositories
	Releases     *apps.Releases
	People       *people.People
}

// Pipelines are what there is to do with pipelines.
type Pipelines struct{ Options }

// New returns the room.
func New(o Options) *Pipelines { return &Pipelines{o} }

// maxPipelines bounds how many there are on a machine.
const maxPipelines = 500

// Info is a pipeline with its apps.
type Info struct {
	daemon.Pipeline
	Apps []Place `json:"apps"`
	// Hidden is how many more apps it has, which who asks may not view.
	Hidden int `json:"hidden,omitempty"`
	// Access is what it gives members, as far as who asks may see it.
	Access []daemon.PipelineAccess `json:"access"`
}

// Place is an app in a pipeline, and what it serves.
type Place struct {
	App     string       `json:"app"`
	Stage   daemon.Stage `json:"stage"`
	Release int          `json:"release"` // version; 0 before the first
	Commit  string       `json:"commit,omitempty"`
}

// List lists the pipelines of which the member may view an app, by which they have access, or which
// are theirs.
func (ps *Pipelines) List(ctx context.Context, member string) (list []daemon.Pipeline, err error) {
	err = ps.Store.View(ctx, func(tx daemon.Tx) error {
		all, err := tx.Pipelines()
		for _, p := range all {
			ok, merr := may(tx, member, p, daemon.View)
			if err = errors.Join(err, merr); ok {
				list = append(list, p)
			}
		}
		return err
	})
	return list, err
}

// Allowed fails unless the member may do p with the pipeline: its owner and administrators may
// do everything; it is viewed by who may view one of its apps or has access by it, and managed by who
// may manage all of its apps.
func (ps *Pipelines) Allowed(ctx context.Context, member, name string, p daemon.Permission) error {
	return ps.Store.View(ctx, func(tx daemon.Tx) error { return allowed(tx, member, name, p) })
}

func allowed(tx daemon.Tx, member, name string, p daemon.Permission) error {
	pipeline, err := tx.Pipeline(name)
	if err != nil {
		return err
	}
	ok, err := may(tx, member, pipeline, p)
	if err != nil || ok {
		return err
	}
	if seen, err := may(tx, member, pipeline, daemon.View); err != nil || !seen {
		return errors.Join(err, daemon.NoPipeline(name))
	}
	return daemon.Errorf(daemon.Forbidden, "you may not %s the pipeline %s", p, name).
		WithHint("its owner may, and who may manage all of its apps: towline pipelines:info %s", name)
}

func may(tx daemon.Tx, member string, pipeline daemon.Pipeline, p daemon.Permission) (bool, error) {
	if admin, err := people.IsAdministrator(tx, member); err != nil || admin || pipeline.Owner == member {
		return true, err
	}
	access, err := tx.PipelineAccess(pipeline.Name)
	if err != nil {
		return false, err
	}
	for _, a := range access {
		if a.Member == member && (p == daemon.View || a.Stage == "" && slices.Contains(a.Permissions, p)) {
			return true, nil
		}
	}
	places, err := tx.Couplings(pipeline.Name)
	if err != nil {
		return false, err
	}
	count := 0
	for _, c := range places {
		ok, err := people.May(tx, member, c.App, p)
		if err != nil {
			return false, err
		}
		if ok {
			count++
		}
	}
	if p == daemon.View {
		return count > 0, nil
	}
	return count > 0 && count == len(places), nil
}

// Info shows a pipeline with those of its apps that the member may view.
func (ps *Pipelines) Info(ctx context.Context, name, member string) (info Info, err error) {
	err = ps.Store.View(ctx, func(tx daemon.Tx) error {
		if info.Pipeline, err = tx.Pipeline(name); err != nil {
			return err
		}
		places, err := tx.Couplings(name)
		if err != nil {
			return err
		}
		info.Apps = []Place{}
		for _, c := range places {
			if ok, err := people.May(tx, member, c.App, daemon.View); err != nil {
				return err
			} else if !ok {
				info.Hidden++
				continue
			}
			place, err := placeOf(tx, c)
			if err != nil {
				return err
			}
			info.Apps = append(info.Apps, place)
		}
		info.Access, err = visibleAccess(tx, info.Pipeline, member)
		return err
	})
	return info, err
}

func placeOf(tx daemon.Tx, c daemon.Coupling) (Place, error) {
	place := Place{App: c.App, Stage: c.Stage}
	a, err := tx.App(c.App)
	if err != nil || a.Current == 0 {
		return place, err
	}
	rel, err := tx.Release(c.App, a.Current)
	place.Release, place.Commit = rel.Version, rel.Commit
	return place, err
}

// Create makes a pipeline, with a first app if one is named.
func (ps *Pipelines) Create(ctx context.Context, name, member, app string, stage daemon.Stage) (daemon.Pipeline, error) {
	p := daemon.Pipeline{Name: name, Created: daemon.Now(), Owner: member}
	if err := daemon.CheckPipelineName(name); err != nil {
		return p, err
	}
	return p, ps.Store.Update(ctx, func(tx daemon.Tx) error {
		all, err := tx.Pipelines()
		if err != nil {
			return err
		}
		if len(all) >= maxPipelines {
			return daemon.Errorf(daemon.Conflict, "there are %d pipelines, and more are not allowed", len(all)).WithHint("destroy one first: towline pipelines:destroy NAME")
		}
		err = errors.Join(tx.InsertPipeline(p), tx.RecordActivity(daemon.Activity{Time: p.Created, Member: member, Kind: daemon.PipelineCreated, App: app, Subject: name,
			Text: "created the pipeline " + name, Undo: "pipelines:destroy " + name}))
		if err != nil || app == "" {
			return err
		}
		_, err = couple(tx, daemon.Coupling{App: app, Pipeline: name, Stage: stage}, false)
		return err
	})
}

// Couple puts an app into a stage of a pipeline. One that is in the pipeline already changes its
// stage if moves is set. It tells who may do what with the app by that, and who no longer.
func (ps *Pipelines) Couple(ctx context.Context, c daemon.Coupling, member string, moves bool) (changes people.Changes, err error) {
	defer ps.People.RightsChanged(ctx)
	err = ps.Store.Update(ctx, func(tx daemon.Tx) error {
		if _, err := tx.Pipeline(c.Pipeline); err != nil {
			return err
		}
		changes, err = people.Changing(tx, []string{c.App}, c.Pipeline, member, func() error {
			from, err := couple(tx, c, moves)
			if err != nil || from == c.Stage { // where it is already
				return err
			}
			event := daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.PipelineAdded, App: c.App, Subject: c.Pipeline,
				Text: "put " + c.App + " into " + string(c.Stage) + " of the pipeline " + c.Pipeline, Undo: "pipelines:remove"}
			if from != "" {
				event.Kind, event.Undo = daemon.PipelineMoved, "pipelines:update --stage "+string(from)
			}
			return tx.RecordActivity(event)
		})
		return err
	})
	return changes, err
}

// couple tells the stage that the app was in, if it was.
func couple(tx daemon.Tx, c daemon.Coupling, moves bool) (from daemon.Stage, err error) {
	if err := daemon.CheckPipelineStage(c.Stage); err != nil {
		return "", err
	}
	if _, err := daemon.FindApp(tx, c.App); err != nil {
		return "", err
	}
	all, err := tx.Couplings("")
	if err != nil {
		return "", err
	}
	i := indexOf(all, c.App)
	if i >= 0 && !(moves && all[i].Pipeline == c.Pipeline) {
		return "", daemon.Errorf(daemon.Conflict, "%s is in the pipeline %s already, in %s", c.App, all[i].Pipeline, all[i].Stage).
			WithHint("towline pipelines:update -a %[1]s --stage STAGE moves it; towline pipelines:remove -a %[1]s takes it out", c.App)
	}
	if i >= 0 {
		from = all[i].Stage
	}
	return from, tx.PutCoupling(c)
}

func indexOf(list []daemon.Coupling, app string) int {
	return slices.IndexFunc(list, func(c daemon.Coupling) bool { return c.App == app })
}

// Coupling is the place of an app; an app in no pipeline is Conflict.
func (ps *Pipelines) Coupling(ctx context.Context, app string) (daemon.Coupling, error) {
	return daemon.Read(ctx, ps.Store, func(tx daemon.Tx) (daemon.Coupling, error) { return couplingOf(tx, app) })
}

func couplingOf(tx daemon.Tx, app string) (daemon.Coupling, error) {
	if _, err := daemon.FindApp(tx, app); err != nil {
		return daemon.Coupling{}, err
	}
	all, err := tx.Couplings("")
	if err != nil {
		return daemon.Coupling{}, err
	}
	if i := indexOf(all, app); i >= 0 {
		return all[i], nil
	}
	return daemon.Coupling{}, daemon.Errorf(daemon.Conflict, "%s is in no pipeline", app).
		WithHint("towline pipelines:add PIPELINE -a %s --stage staging", app)
}

// Uncouple takes an app out of its pipeline. It tells who may no longer do what with it by that.
func (ps *Pipelines) Uncouple(ctx context.Context, app, member string) (c daemon.Coupling, changes people.Changes, err error) {
	defer ps.People.RightsChanged(ctx)
	err = ps.Store.Update(ctx, func(tx daemon.Tx) error {
		if c, err = couplingOf(tx, app); err != nil {
			return err
		}
		changes, err = people.Changing(tx, []string{app}, c.Pipeline, member, func() error {
			return errors.Join(tx.DeleteCoupling(app), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.PipelineRemoved, App: app, Subject: c.Pipeline,
				Text: "took " + app + " out of the pipeline " + c.Pipeline, Undo: "pipelines:add " + c.Pipeline + " --stage " + string(c.Stage)}))
		})
		return err
	})
	return c, changes, err
}

// Rename gives a pipeline another name.
func (ps *Pipelines) Rename(ctx context.Context, name, to, member string) error {
	if err := daemon.CheckPipelineName(to); err != nil {
		return err
	}
	if name == to {
		return daemon.Errorf(daemon.Invalid, "%s has that name already", name)
	}
	return ps.Store.Update(ctx, func(tx daemon.Tx) error {
		return errors.Join(tx.RenamePipeline(name, to), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.PipelineRenamed, Subject: to,
			Text: "renamed the pipeline " + name + " to " + to, Undo: "pipelines:rename " + to + " " + name}))
	})
}

// Destroy removes a pipeline, with the access that it gives. Its apps stay as they are. It tells who
// may no longer do what with them by that.
func (ps *Pipelines) Destroy(ctx context.Context, name, member string) (changes people.Changes, err error) {
	defer ps.People.RightsChanged(ctx)
	err = ps.Store.Update(ctx, func(tx daemon.Tx) error {
		if err := allowedEnd(tx, member, name); err != nil { // an app or a right may have come since it was asked
			return err
		}
		places, err := tx.Couplings(name)
		if err != nil {
			return err
		}
		changes, err = people.Changing(tx, namesOf(places), name, member, func() error {
			return errors.Join(tx.DeletePipeline(name), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.PipelineDestroyed, Subject: name,
				Text: "destroyed the pipeline " + name}))
		})
		return err
	})
	return changes, err
}

func namesOf(places []daemon.Coupling) (names []string) {
	for _, c := range places {
		names = append(names, c.App)
	}
	return names
}

// GuessStage is the stage that an app's name tells, as on Heroku; empty if it tells none.
func GuessStage(app string) daemon.Stage {
	for suffix, stage := range map[string]daemon.Stage{
		"-staging": daemon.StageStaging, "-stage": daemon.StageStaging, "-stg": daemon.StageStaging,
		"-production": daemon.StageProduction, "-prod": daemon.StageProduction,
		"-development": daemon.StageDevelopment, "-dev": daemon.StageDevelopment,
	} {
		if strings.HasSuffix(app, suffix) {
			return stage
		}
	}
	return ""
}
