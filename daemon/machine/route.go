package machine

import (
	"context"

	"golang.org/x/crypto/bcrypt"

	"towline/daemon"
)

// maxPassword is how many bytes bcrypt looks at.
const maxPassword = 72

// HashPassword is what Rules keep of a password. It is not shown in errors.
func HashPassword(password string) (string, error) {
	switch {
	case password == "":
		return "", daemon.Errorf(daemon.Invalid, "the password is empty").WithHint("give it on standard input")
	case len(password) > maxPassword:
		return "", daemon.Errorf(daemon.Invalid, "the password is longer than %d bytes", maxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	return string(hash), err
}

// RuleChange edits an app's rules.
type RuleChange struct {
	App, Member string
	What        string // for the activity, as in "set the timeout"; no secrets
	Edit        func(*daemon.Rules) error
}

// ChangeRules edits an app's rules and has the proxy follow them.
func (d *Daemon) ChangeRules(ctx context.Context, c RuleChange) error {
	return d.changeRoute(ctx, c.App, func(tx daemon.Tx) error {
		rules, err := tx.Rules(c.App)
		if err != nil {
			return err
		}
		if err := c.Edit(&rules); err != nil {
			return err
		}
		if err := daemon.CheckRules(rules); err != nil {
			return err
		}
		if err := tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: c.Member, App: c.App, Text: c.What}); err != nil {
			return err
		}
		return tx.PutRules(c.App, rules)
	})
}

// RouteInfo is what router shows: the app's route as it is set.
type RouteInfo struct {
	daemon.Rules
	Hosts       []string
	Redirects   map[string]string
	Maintenance bool
}

// RouteInfo returns what is set for an app's route.
func (d *Daemon) RouteInfo(ctx context.Context, app string) (RouteInfo, error) {
	r, err := d.routeSettings(ctx, app)
	return RouteInfo{Rules: r.Rules, Hosts: r.Hosts, Redirects: r.Redirects, Maintenance: r.Maintenance}, err
}

// routeSettings is an app's route as the state has it, without targets.
func (d *Daemon) routeSettings(ctx context.Context, app string) (daemon.Route, error) {
	return daemon.Read(ctx, d.Store, func(tx daemon.Tx) (daemon.Route, error) {
		a, err := daemon.FindApp(tx, app)
		if err != nil {
			return daemon.Route{}, err
		}
		r := daemon.Route{App: app, Maintenance: a.Maintenance, Hosts: []string{app + "." + d.Domain}}
		if r.Rules, err = tx.Rules(app); err != nil {
			return r, err
		}
		domains, err := tx.Domains(app)
		for _, dom := range domains {
			r.Hosts = append(r.Hosts, dom.Host)
			if dom.Redirect != "" {
				if r.Redirects == nil {
					r.Redirects = map[string]string{}
				}
				r.Redirects[dom.Host] = dom.Redirect
			}
		}
		return r, err
	})
}

// changeRoute edits the state of an app's route under its lock and has the proxy
// follow. If the proxy is away, it follows as soon as it is back.
func (d *Daemon) changeRoute(ctx context.Context, app string, edit func(daemon.Tx) error) error {
	unlock, err := d.Journal.LockApp(ctx, app, nil)
	if err != nil {
		return err
	}
	defer unlock()
	err = d.Store.Update(ctx, func(tx daemon.Tx) error {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return err
		}
		return edit(tx)
	})
	if err != nil {
		return err
	}
	err = d.syncRoute(ctx, app)
	if daemon.IsAway(err) {
		d.Life.Go(func(ctx context.Context) { d.syncRouteLater(ctx, app) })
		return daemon.Errorf(daemon.Unavailable, "the proxy does not answer").
			WithHint("the change is stored, and is served as soon as the proxy is back; on the host, see: systemctl status towline-proxy")
	}
	return err
}

// syncRouteLater has the proxy follow the state of an app as soon as it is back.
func (d *Daemon) syncRouteLater(ctx context.Context, app string) {
	err := d.Life.Outlast(ctx, nil, func(ctx context.Context) error {
		unlock, err := d.Journal.LockApp(ctx, app, nil)
		if err != nil {
			return err
		}
		defer unlock()
		return d.syncRoute(ctx, app)
	})
	if err != nil && !daemon.IsKind(err, daemon.NotFound) {
		d.Log.Error("route of an app", "app", app, "err", err)
	}
}

// syncRoute gives the proxy an app's route as the state has it, with the targets that
// it has. One that nothing was deployed to has a route without targets, so that its
// address says so.
func (d *Daemon) syncRoute(ctx context.Context, app string) error {
	route, err := d.routeSettings(ctx, app)
	if err != nil {
		return err
	}
	served, err := d.routeOf(ctx, app)
	if err != nil {
		return err
	}
	if served == nil {
		rel, err := d.Release(ctx, app, 0)
		if err != nil {
			return err
		}
		if rel.Image != "" {
			return nil // it is being started, which makes its route
		}
		served = &daemon.Route{Undeployed: true}
	}
	route.Targets, route.Health, route.Undeployed = served.Targets, served.Health, served.Undeployed
	return d.Router.Deploy(ctx, route)
}
