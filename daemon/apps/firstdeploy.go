package apps

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"maps"
	"slices"
	"strings"

	"towline/daemon"
	"towline/daemon/appjson"
	"towline/daemon/work"
)

// What an app.json asks for besides health checks, scripts and the protocol the first deploy of an
// app takes. Later ones find what people have made of it since, and never change that.

// AddonPlan is what comes of the add-ons that an app.json asks for.
type AddonPlan struct {
	Vars  []string // config vars that the app will have
	Notes []string // for the pusher: what is not made, and what to type
	// Create makes what there is to make. The app is locked.
	Create func(ctx context.Context, out io.Writer) error
}

// An AddonPlanner tells what comes of add-ons that an app's source asks for, if the member pushes
// it. Nothing is made before Create is called. The app is locked.
type AddonPlanner interface {
	PlanAddons(ctx context.Context, app, member string, wanted []appjson.Addon) (AddonPlan, error)
}

// OnFirstDeploy has p make the add-ons of first deploys. It is for those who wire.
func (rl *Releases) OnFirstDeploy(p AddonPlanner) { rl.planner = p }

// withManifest adds to an app's config what it lacks of what its app.json has.
func withManifest(have map[string]string, m appjson.File) map[string]string {
	all := maps.Clone(m.Env)
	if all == nil {
		all = map[string]string{}
	}
	for _, key := range m.Secrets {
		all[key] = NewSecret()
	}
	maps.Copy(all, have)
	return all
}

// NewSecret is 64 hexadecimal digits, as those that Heroku's generator makes.
func NewSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// isDeployed tells whether anything was deployed to the app.
func (rl *Releases) isDeployed(ctx context.Context, app daemon.App) (bool, error) {
	if app.Current == 0 {
		return false, nil
	}
	rel, err := rl.Release(ctx, app.Name, app.Current)
	return rel.Image != "", err
}

// takeManifest returns the config and the formation that a deploy has with what its app.json asks
// for: the first gets them from it, with add-ons; others the app's config as it is. It refuses a
// deploy without a config var that is required, and tells the pusher what is not followed.
func (rl *Releases) takeManifest(ctx context.Context, app daemon.App, member string, m appjson.File, out io.Writer) (config map[string]string, formation daemon.Formation, first bool, err error) {
	for _, line := range m.Notes {
		work.Warn(out, "%s", line)
	}
	deployed, err := rl.isDeployed(ctx, app)
	if err != nil {
		return nil, nil, false, err
	}
	if deployed {
		return app.Config, nil, false, checkRequired(app, m, nil)
	}
	var plan AddonPlan
	if len(m.Addons) > 0 && rl.planner != nil {
		if plan, err = rl.planner.PlanAddons(ctx, app.Name, member, m.Addons); err != nil {
			return nil, nil, true, err
		}
	}
	for _, line := range plan.Notes {
		work.Warn(out, "%s", line)
	}
	if err := checkRequired(app, m, plan.Vars); err != nil {
		return nil, nil, true, err
	}
	// Heroku asks for these where an app is set up from a button, and takes a push without them.
	if missing, assign := unset(app, m.Wanted, plan.Vars); len(missing) > 0 {
		work.Warn(out, "app.json names %s without a value: if the app needs them: %s", strings.Join(missing, ", "), assign)
	}
	config = withManifest(app.Config, m)
	maps.DeleteFunc(config, func(key, _ string) bool { return slices.Contains(plan.Vars, key) })
	set := maps.Clone(config)
	maps.DeleteFunc(set, func(key, _ string) bool { _, had := app.Config[key]; return had })
	if err := rl.checkConfigChange(ctx, ConfigChange{App: app.Name, Set: set}, app); err != nil {
		return nil, nil, true, err
	}
	if err := rl.processes.roomForProcesses(app.Name, nil, m.Formation); err != nil {
		return nil, nil, true, err
	}
	if plan.Create != nil {
		if err := plan.Create(ctx, out); err != nil {
			return nil, nil, true, err
		}
		if app, err = rl.App(ctx, app.Name); err != nil {
			return nil, nil, true, err
		}
		maps.Copy(config, app.Config)
	}
	if len(set) > 0 {
		work.Stage(out, "Setting %s, as app.json has it for the first deploy", strings.Join(daemon.SortedKeys(set), ", "))
	}
	if len(m.Formation) > 0 {
		formation = m.Formation
	}
	return config, formation, true, nil
}

// dropUnknown takes from a formation the types that there are not.
func dropUnknown(f daemon.Formation, types map[string]daemon.Process, out io.Writer) {
	for _, t := range daemon.SortedKeys(f) {
		if _, ok := types[t]; ok && t != "release" {
			continue
		}
		delete(f, t)
		work.Warn(out, "app.json: the formation has %s, which is no process type; there are: %s", t, typeList(types))
	}
}

// checkRequired refuses a deploy without the config vars that its app.json says it needs. coming
// are those that add-ons will set.
func checkRequired(app daemon.App, m appjson.File, coming []string) error {
	missing, assign := unset(app, m.Required, coming)
	if len(missing) == 0 {
		return nil
	}
	verb := "is"
	if len(missing) > 1 {
		verb = "are"
	}
	return daemon.Errorf(daemon.Invalid, "app.json requires %s, which %s not set", strings.Join(missing, ", "), verb).WithHint("%s", assign)
}

// unset are those of the config vars that nobody has set and no add-on will, and what sets them.
func unset(app daemon.App, keys, coming []string) (missing []string, assign string) {
	assign = "towline config:set"
	for _, key := range keys {
		if _, set := app.Config[key]; !set && !slices.Contains(coming, key) {
			missing = append(missing, key)
			assign += " " + key + "=..."
		}
	}
	return missing, assign + " -a " + app.Name
}

// setFormation is how many processes of each type an app's first deploy starts. A
// nil formation leaves the app's own.
func setFormation(tx daemon.AppTx, app string, f daemon.Formation) error {
	if f == nil {
		return nil
	}
	a, err := tx.App(app)
	if err != nil {
		return err
	}
	a.Formation = f
	return tx.UpdateApp(a)
}
