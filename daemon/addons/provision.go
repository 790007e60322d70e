package addons

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
	"towline/plugins"
)

// ProvisionRequest asks for a new add-on for an app.
type ProvisionRequest struct {
	App, Member string
	Service     string
	Plan        string // empty: the manifest's default
	Version     string // empty: the manifest's default
	Name        string // empty: made from the service and the app
	Prefix      string // of the config vars; empty: the manifest's own names
}

// provisionData is what a recovery must know of a provision that was cut short.
type provisionData struct {
	App string `json:"app"`
}

const opProvision = "provision"

func (ad *Addons) provisionKind() journal.Kind {
	return journal.Kind{Name: opProvision, Text: "the creation", Of: journal.OfAddon, Releases: true,
		Steps: []string{"create", "attach"}, Recover: ad.recoverProvision}
}

// Provision is journey 3: check, record, start the service and wait for its probe,
// store add-on and config vars in one transaction, then release the app with them.
// On any error before that transaction nothing is left.
func (ad *Addons) Provision(ctx context.Context, req ProvisionRequest, out io.Writer) (daemon.Addon, error) {
	unlock, err := ad.Journal.LockApp(ctx, req.App, out)
	if err != nil {
		return daemon.Addon{}, err
	}
	defer unlock()
	addon, err := ad.planAddon(ctx, &req)
	if err != nil {
		return daemon.Addon{}, err
	}
	unlockAddon, err := ad.Journal.LockAddon(ctx, addon.Name, out)
	if err != nil {
		return daemon.Addon{}, err
	}
	defer unlockAddon()

	ctx, cancel := ad.Life.Detach(ctx)
	defer cancel()
	work.Stage(out, "Creating %s (%s %s, plan %s) for %s", addon.Name, addon.Service, addon.Version, addon.Plan, req.App)
	op, err := ad.Journal.Begin(ctx, opProvision, addon.Name, req.Member, "create", provisionData{App: req.App},
		func(tx daemon.Tx) error { return tx.InsertAddon(addon) })
	if err != nil {
		return daemon.Addon{}, err
	}
	err = op.Do(ctx, out, func(ctx context.Context) error {
		spec, err := ad.services.startService(ctx, addon, []string{req.App}, out)
		if err != nil {
			return err
		}
		vars := spec.Vars(req.Prefix)
		addon.Status = daemon.AddonReady
		return op.Next(ctx, "attach", nil, func(tx daemon.Tx) error { return attach(tx, addon, req, vars) })
	}, func(ctx context.Context) error { return ad.removeAddon(ctx, op, addon.Name) })
	if err != nil {
		return daemon.Addon{}, err
	}
	return addon, ad.releaseAddon(ctx, op, req.App, "Attach "+addon.Name, out)
}

// releaseAddon finishes a provision: the app gets the vars that are stored.
func (ad *Addons) releaseAddon(ctx context.Context, op *journal.Operation, app, description string, out io.Writer) error {
	_, err := ad.Releases.ChangeLocked(ctx, app, op.Member, out, func(_ daemon.Tx, rel *daemon.Release) error {
		rel.Description = description
		return nil
	})
	if errors.Is(context.Cause(ctx), daemon.ErrClosing) {
		return daemon.ErrClosing
	}
	if err != nil {
		err = daemon.Errorf(daemon.Failed, "%s is ready and its config vars are set, but the app did not start with them: %w", op.Subject, err).
			WithHint("the release that served before serves on; see towline logs -a %s", app)
	}
	return errors.Join(err, op.Finish(context.WithoutCancel(ctx)))
}

// planAddon checks the whole request, and settles what was left open.
func (ad *Addons) planAddon(ctx context.Context, req *ProvisionRequest) (daemon.Addon, error) {
	app, err := ad.Apps.App(ctx, req.App)
	if err != nil {
		return daemon.Addon{}, err
	}
	manifest, err := ad.Service(req.Service)
	if err != nil {
		return daemon.Addon{}, err
	}
	if req.Version == "" {
		req.Version = manifest.DefaultVersion
	}
	if req.Plan == "" {
		req.Plan = manifest.DefaultPlan
	}
	if !slices.Contains(manifest.VersionNames(), req.Version) {
		return daemon.Addon{}, daemon.Errorf(daemon.Invalid, "%s has no version %q", req.Service, daemon.Clip(req.Version)).
			WithHint("there are: %s", strings.Join(manifest.VersionNames(), ", "))
	}
	if !slices.Contains(manifest.PlanNames(), req.Plan) {
		return daemon.Addon{}, daemon.Errorf(daemon.Invalid, "%s has no plan %q", req.Service, daemon.Clip(req.Plan)).
			WithHint("there are: %s", strings.Join(manifest.PlanNames(), ", "))
	}
	if req.Prefix != "" {
		req.Prefix = strings.ToUpper(req.Prefix)
		if err := daemon.CheckConfigKey(req.Prefix); err != nil {
			return daemon.Addon{}, daemon.Errorf(daemon.Invalid, "%q can't begin config vars", daemon.Clip(req.Prefix)).WithHint("use letters, digits and underscores, like CACHE")
		}
	}
	addons, err := daemon.Read(ctx, ad.Store, daemon.Tx.Addons)
	if err != nil {
		return daemon.Addon{}, err
	}
	if err := nameAddon(req, addons); err != nil {
		return daemon.Addon{}, err
	}
	addon := daemon.Addon{
		Name: req.Name, App: req.App, Service: req.Service, Plan: req.Plan, Version: req.Version,
		Status: daemon.AddonCreating, Created: daemon.Now(), Generation: 1, Secrets: manifest.NewSecrets(),
	}
	spec, err := manifest.Render(instance(addon))
	if err != nil {
		return daemon.Addon{}, err
	}
	for _, v := range spec.Vars(req.Prefix) {
		if _, taken := app.Config[v.Name]; taken {
			return daemon.Addon{}, ad.varTaken(ctx, req.App, v.Name)
		}
	}
	return addon, nil
}

// varTaken refuses an add-on whose config var the app has already.
func (ad *Addons) varTaken(ctx context.Context, app, name string) error {
	owner, err := ad.Apps.AddonVars(ctx, app)
	if err != nil {
		return err
	}
	if addon := owner[name]; addon != "" {
		return daemon.Errorf(daemon.Conflict, "%s has the config var %s of %s already", app, name, addon).
			WithHint("give the second add-on's config vars a prefix of their own, like --as CACHE")
	}
	return daemon.Errorf(daemon.Conflict, "%s has a config var %s already", app, name).
		WithHint("give the add-on's config vars a prefix of their own, like --as CACHE; or towline config:unset %s -a %s", name, app)
}

// nameAddon checks the name asked for, or finds a free one: the service and the app.
func nameAddon(req *ProvisionRequest, addons []daemon.Addon) error {
	taken := func(name string) bool {
		return slices.ContainsFunc(addons, func(a daemon.Addon) bool { return a.Name == name })
	}
	if req.Name != "" {
		if err := daemon.CheckAddonName(req.Name, req.Service+"-"+req.App); err != nil {
			return err
		}
		if taken(req.Name) {
			return daemon.Errorf(daemon.Exists, "the name %s is taken", req.Name).WithHint("choose another, or leave --name out")
		}
		return nil
	}
	base := req.Service + "-" + req.App
	req.Name = base
	for i := 2; taken(req.Name); i++ {
		req.Name = fmt.Sprintf("%s-%d", base, i)
	}
	return nil
}

// attach records a new add-on that is ready, in use by the app that it was made for.
func attach(tx daemon.Tx, addon daemon.Addon, req ProvisionRequest, vars []plugins.Var) error {
	at := daemon.AddonAttachment{Addon: addon.Name, App: req.App, Prefix: req.Prefix}
	for _, v := range vars {
		at.Vars = append(at.Vars, v.Name)
	}
	return errors.Join(tx.UpdateAddon(addon), recordAttachment(tx, at, vars),
		tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: req.Member, App: req.App, Text: "created the add-on " + addon.Name}))
}

const opDeprovision = "deprovision"

func (ad *Addons) deprovisionKind() journal.Kind {
	return journal.Kind{Name: opDeprovision, Text: "the destruction", Of: journal.OfAddon, Releases: true,
		Steps: []string{"detach", "remove"}, Recover: ad.recoverDeprovision}
}

// Deprovision destroys an add-on with its data: first every app attached to it is
// released without its config vars, then the service goes.
func (ad *Addons) Deprovision(ctx context.Context, name, member string, out io.Writer) error {
	if _, err := ad.Addon(ctx, name); err != nil {
		return err
	}
	unlock, err := ad.attachments.lockAttached(ctx, name, out)
	if err != nil {
		return err
	}
	defer unlock()
	addon, err := ad.Addon(ctx, name) // again: it may have gone while waiting
	if err != nil {
		return err
	}
	attached, err := ad.Attachments(ctx, name)
	if err != nil {
		return err
	}
	ctx, cancel := ad.Life.Detach(ctx)
	defer cancel()
	addon.Status = daemon.AddonDestroying
	op, err := ad.Journal.Begin(ctx, opDeprovision, name, member, "detach", nil, func(tx daemon.Tx) error { return tx.UpdateAddon(addon) })
	if err != nil {
		return err
	}
	for _, at := range attached {
		if err := ad.detachAddon(ctx, at, member, out); err != nil {
			work.Warn(out, "%v", err)
		}
	}
	if err := op.Next(ctx, "remove", nil); err != nil {
		return err
	}
	work.Stage(out, "Removing %s and its data", name)
	return ad.Life.Outlast(ctx, out, func(ctx context.Context) error { return ad.removeAddon(ctx, op, name) })
}

// detachAddon takes an add-on's config vars from one app. They go even if the app
// does not start without them: the service goes too.
func (ad *Addons) detachAddon(ctx context.Context, at daemon.AddonAttachment, member string, out io.Writer) error {
	if err := ad.Store.Update(ctx, func(tx daemon.Tx) error { return ForgetAttachment(tx, at) }); err != nil {
		return err
	}
	// Who opened its page may have no other right to it than by this app.
	if err := ad.pages.closePage(ctx, at.Addon); err != nil {
		return err
	}
	_, err := ad.Releases.ChangeLocked(ctx, at.App, member, out, func(_ daemon.Tx, rel *daemon.Release) error {
		rel.Description = "Detach " + at.Addon
		return nil
	})
	if err != nil {
		return daemon.Errorf(daemon.Failed, "%s did not start without %s: %w", at.App, at.Addon, err)
	}
	return nil
}

// BeforeRemoval removes what there is of an add-on beside its service and its record, which
// go afterwards. It may have done so before.
type BeforeRemoval interface {
	BeforeRemoval(ctx context.Context, addon string) error
}

// OnRemoval has b called before each add-on's record goes. It is for those who wire.
func (ad *Addons) OnRemoval(b BeforeRemoval) { ad.before = b }

// removeAddon removes the service with its data, then its record. Every part may have
// been done before.
func (ad *Addons) removeAddon(ctx context.Context, op *journal.Operation, name string) error {
	if err := ad.pages.closePage(ctx, name); err != nil {
		return err
	}
	if err := ad.services.RemoveService(ctx, name); err != nil {
		return err
	}
	if err := ad.before.BeforeRemoval(ctx, name); err != nil {
		return err
	}
	defer ad.People.RightsChanged(ctx) // nobody's session goes on with a later add-on of this name
	return op.Finish(ctx, func(tx daemon.Tx) error {
		if err := tx.DeleteAddon(name); err != nil && !daemon.IsKind(err, daemon.NotFound) {
			return err
		}
		return op.EndOthers(tx, journal.OfAddon)
	})
}

// recoverProvision: before the add-on was attached nothing of it stays; after that it
// stays, and the app gets its vars. Both are locked.
func (ad *Addons) recoverProvision(ctx context.Context, op *journal.Operation) error {
	if op.Step == "create" {
		return ad.removeAddon(ctx, op, op.Subject)
	}
	data, err := journal.Decode[provisionData](op.Operation)
	if err != nil {
		return err
	}
	addon, err := ad.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	if err := ad.services.StartContainer(ctx, addon, nil); err != nil {
		return err
	}
	return ad.releaseAddon(ctx, op, data.App, "Attach "+op.Subject, nil)
}

// recoverDeprovision goes on to the end.
func (ad *Addons) recoverDeprovision(ctx context.Context, op *journal.Operation) error {
	attached, err := ad.Attachments(ctx, op.Subject)
	if err != nil {
		return err
	}
	for _, at := range attached {
		if err := ad.detachAddon(ctx, at, op.Member, nil); err != nil {
			ad.Log.Error("detach", "addon", at.Addon, "app", at.App, "err", err)
		}
	}
	return ad.removeAddon(ctx, op, op.Subject)
}
