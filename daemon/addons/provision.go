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
	Plan        string            // empty: the manifest's default
	Version     string            // empty: the manifest's default
	Name        string            // empty: made from the service and the app
	Prefix      string            // of the config vars; empty: the manifest's own names
	Aliases     map[string]string // second names of config vars, with what they stand for
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
	return ad.provisionLocked(ctx, req, out)
}

// provisionLocked is Provision for an app that is locked.
func (ad *Addons) provisionLocked(ctx context.Context, req ProvisionRequest, out io.Writer) (daemon.Addon, error) {
	addon, at, err := ad.planAddon(ctx, &req)
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
	event := daemon.Activity{Kind: daemon.AddonCreated, Member: req.Member, App: req.App, Subject: addon.Name, Names: at.Vars,
		Text: "created the add-on " + addon.Name + " (" + addon.Service + " " + addon.Version + ", plan " + addon.Plan + ")", Undo: "addons:destroy " + addon.Name}
	op, err := ad.Journal.Begin(ctx, opProvision, addon.Name, event, "create", provisionData{App: req.App},
		func(tx daemon.Tx) error { return tx.InsertAddon(addon) })
	if err != nil {
		return daemon.Addon{}, err
	}
	err = op.Do(ctx, out, func(ctx context.Context) error {
		if _, err := ad.services.startService(ctx, addon, []string{req.App}, out); err != nil {
			return err
		}
		addon.Status = daemon.AddonReady
		return op.Next(ctx, "attach", nil, func(tx daemon.Tx) error {
			return errors.Join(tx.UpdateAddon(addon), ad.recordAttachment(tx, addon, at), op.Done(tx))
		})
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

// checkRequest checks the request alone, and settles what was left open but for the name.
func (ad *Addons) checkRequest(req *ProvisionRequest) (*plugins.Manifest, error) {
	manifest, err := ad.Service(req.Service)
	if err != nil {
		return nil, err
	}
	if req.Version == "" {
		req.Version = manifest.DefaultVersion
	}
	if req.Plan == "" {
		req.Plan = manifest.DefaultPlan
	}
	if !slices.Contains(manifest.VersionNames(), req.Version) {
		return nil, daemon.Errorf(daemon.Invalid, "%s has no version %q", req.Service, daemon.Clip(req.Version)).
			WithHint("there are: %s", strings.Join(manifest.VersionNames(), ", "))
	}
	if !slices.Contains(manifest.PlanNames(), req.Plan) {
		return nil, daemon.Errorf(daemon.Invalid, "%s has no plan %q", req.Service, daemon.Clip(req.Plan)).
			WithHint("there are: %s", strings.Join(manifest.PlanNames(), ", "))
	}
	req.Prefix, err = checkPrefix(req.Prefix)
	return manifest, err
}

// newAddon is what a request that is settled comes to.
func newAddon(req ProvisionRequest, manifest *plugins.Manifest) daemon.Addon {
	return daemon.Addon{
		Name: req.Name, App: req.App, Service: req.Service, Plan: req.Plan, Version: req.Version,
		Status: daemon.AddonCreating, Created: daemon.Now(), Generation: 1, Secrets: manifest.NewSecrets(),
	}
}

// planAddon checks the whole request, and settles what was left open.
func (ad *Addons) planAddon(ctx context.Context, req *ProvisionRequest) (addon daemon.Addon, at daemon.AddonAttachment, err error) {
	app, err := ad.Apps.App(ctx, req.App)
	if err != nil {
		return addon, at, err
	}
	manifest, err := ad.checkRequest(req)
	if err != nil {
		return addon, at, err
	}
	addons, err := daemon.Read(ctx, ad.Store, daemon.Tx.Addons)
	if err != nil {
		return addon, at, err
	}
	if err := nameAddon(req, addons); err != nil {
		return addon, at, err
	}
	addon = newAddon(*req, manifest)
	spec, err := manifest.Render(instance(addon))
	if err != nil {
		return addon, at, err
	}
	at, err = ad.planVars(ctx, app, spec, daemon.AddonAttachment{Addon: addon.Name, App: app.Name, Prefix: req.Prefix, Aliases: req.Aliases})
	return addon, at, err
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
