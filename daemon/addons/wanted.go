package addons

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"towline/daemon"
	"towline/daemon/appjson"
	"towline/daemon/apps"
)

// herokus are add-ons of Heroku's that a service here stands in for, with the prefix by which its
// config vars get the names that apps written for them look for.
var herokus = map[string]struct{ service, prefix string }{
	"heroku-postgresql": {"postgres", ""},
	"heroku-redis":      {"redis", "REDIS"},
	"rediscloud":        {"redis", ""},
	"graphenedb":        {"neo4j", ""},
}

// PlanAddons tells what comes of the add-ons that an app's source asks for when the member deploys
// it for the first time. What is there already is not made again, and no config var that is set
// is touched.
func (ad *Addons) PlanAddons(ctx context.Context, name, member string, wanted []appjson.Addon) (plan apps.AddonPlan, err error) {
	app, err := ad.Apps.App(ctx, name)
	if err != nil {
		return plan, err
	}
	has, err := ad.attachedServices(ctx, name)
	if err != nil {
		return plan, err
	}
	forbidden := ad.People.Allowed(ctx, member, name, daemon.Operate)
	if forbidden != nil && !daemon.IsKind(forbidden, daemon.Forbidden) && !daemon.IsKind(forbidden, daemon.NotFound) {
		return plan, forbidden
	}
	var reqs []ProvisionRequest
	for _, w := range wanted {
		note := func(format string, args ...any) {
			plan.Notes = append(plan.Notes, fmt.Sprintf("app.json line %d: %s", w.Line, fmt.Sprintf(format, args...)))
		}
		req := ProvisionRequest{App: name, Member: member, Service: w.Service, Plan: w.Plan, Version: w.Version, Prefix: strings.ToUpper(w.As)}
		if h, ok := herokus[w.Service]; ok {
			if req.Service = h.service; req.Prefix == "" {
				req.Prefix = h.prefix
			}
		}
		manifest, ok := ad.Catalog.Service(req.Service)
		if !ok {
			note("there is no add-on %s here; there are: %s\nits config vars can be set by hand: towline config:set -a %s", daemon.Clip(w.Service), strings.Join(ad.Catalog.Names(), ", "), name)
			continue
		}
		if foreign := req.Service != w.Service; foreign && !slices.Contains(manifest.PlanNames(), req.Plan) {
			req.Plan = "" // sizes are no other machine's
		}
		if key := req.Service + " " + req.Prefix; has[key] {
			continue
		} else if forbidden == nil {
			has[key] = true
		}
		if forbidden != nil {
			note("%s is not created: that takes the permission operate, which you don't have on %s\nask someone who has it: %s", req.Service, name, createLine(req))
			continue
		}
		vars, err := ad.wantedVars(req)
		if err != nil {
			refused := daemon.Errorf(daemon.Invalid, "app.json line %d: %w", w.Line, err)
			var e *daemon.Error
			if errors.As(err, &e) {
				refused.Hint = e.Hint
			}
			return plan, refused
		}
		if i := slices.IndexFunc(vars, func(v string) bool { _, set := app.Config[v]; return set }); i >= 0 {
			note("%s is not created, as %s is set already", req.Service, vars[i])
			continue
		}
		if i := slices.IndexFunc(vars, func(v string) bool { return slices.Contains(plan.Vars, v) }); i >= 0 {
			note("%s is not created, as another add-on sets %s: give it a prefix of its own, with \"as\"", req.Service, vars[i])
			continue
		}
		plan.Vars, reqs = append(plan.Vars, vars...), append(reqs, req)
	}
	plan.Create = func(ctx context.Context, out io.Writer) error {
		for _, req := range reqs {
			if ctx.Err() != nil { // one that is begun is finished
				return context.Cause(ctx)
			}
			if _, err := ad.provisionLocked(ctx, req, out); err != nil {
				return err
			}
		}
		return nil
	}
	return plan, nil
}

// attachedServices are the services of an app's add-ons, each with the prefix of its config vars.
func (ad *Addons) attachedServices(ctx context.Context, app string) (map[string]bool, error) {
	return daemon.Read(ctx, ad.Store, func(tx daemon.Tx) (map[string]bool, error) {
		has := map[string]bool{}
		attached, err := tx.Attachments()
		if err != nil {
			return nil, err
		}
		for _, at := range attached {
			if at.App != app {
				continue
			}
			addon, err := tx.Addon(at.Addon)
			if err != nil {
				return nil, err
			}
			has[addon.Service+" "+at.Prefix] = true
		}
		return has, nil
	})
}

// wantedVars are the config vars of an add-on that is not there yet. It checks the whole request.
func (ad *Addons) wantedVars(req ProvisionRequest) (names []string, err error) {
	manifest, err := ad.checkRequest(&req)
	if err != nil {
		return nil, err
	}
	spec, err := manifest.Render(instance(newAddon(req, manifest)))
	for _, v := range spec.Vars(req.Prefix) {
		names = append(names, v.Name)
	}
	return names, err
}

// createLine is what to type for a request.
func createLine(req ProvisionRequest) string {
	line := "towline addons:create " + req.Service
	if req.Plan != "" {
		line += ":" + req.Plan
	}
	if req.Prefix != "" {
		line += " --as " + req.Prefix
	}
	return line + " -a " + req.App
}
