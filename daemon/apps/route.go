package apps

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/crypto/bcrypt"

	"towline/daemon"
	"towline/daemon/container"
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
	What        string   // for the activity, as in "set the timeout"; no secrets
	Names       []string // of the settings
	Undo        string   // words of a command; may be empty
	Edit        func(*daemon.Rules) error
}

// ChangeRules edits an app's rules and has the proxy follow them.
func (rs *Routes) ChangeRules(ctx context.Context, c RuleChange) error {
	return rs.changeRoute(ctx, c.App, func(tx daemon.Tx) error {
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
		if err := tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: c.Member, Kind: daemon.RouterSet, App: c.App, Names: c.Names, Text: c.What, Undo: c.Undo}); err != nil {
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
func (rs *Routes) RouteInfo(ctx context.Context, app string) (RouteInfo, error) {
	r, err := rs.routeSettings(ctx, app)
	return RouteInfo{Rules: r.Rules, Hosts: r.Hosts, Redirects: r.Redirects, Maintenance: r.Maintenance}, err
}

// routeSettings is an app's route as the state has it, without targets.
func (rs *Routes) routeSettings(ctx context.Context, app string) (daemon.Route, error) {
	return daemon.Read(ctx, rs.Store, func(tx daemon.Tx) (daemon.Route, error) { return rs.routeIn(tx, app) })
}

func (rs *Routes) routeIn(tx daemon.Tx, app string) (daemon.Route, error) {
	a, err := daemon.FindApp(tx, app)
	if err != nil {
		return daemon.Route{}, err
	}
	r := daemon.Route{App: app, Maintenance: a.Maintenance, Hosts: []string{app + "." + rs.Domain}}
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
}

// changeRoute edits the state of an app's route under its lock, once the proxy has taken the
// route that comes of it: what it refuses is not stored, where it would keep the app from its
// next release. If the proxy is away, it follows as soon as it is back.
func (rs *Routes) changeRoute(ctx context.Context, app string, edit func(daemon.Tx) error) error {
	unlock, err := rs.Journal.LockApp(ctx, app, nil)
	if err != nil {
		return err
	}
	defer unlock()
	route, err := rs.rehearse(ctx, app, edit, app)
	if err != nil {
		return err
	}
	served := rs.serveRoute(ctx, route)
	if served == nil || daemon.IsAway(served) {
		err = rs.Store.Update(ctx, edit)
	}
	if served != nil && !daemon.IsKind(served, daemon.Invalid) || err != nil {
		rs.Life.Go(func(ctx context.Context) { rs.syncRouteLater(ctx, app) }) // to what is stored
	}
	if daemon.IsAway(served) && err == nil {
		return daemon.Errorf(daemon.Unavailable, "the proxy does not answer").
			WithHint("the change is stored, and is served as soon as the proxy is back; on the host, see: systemctl status towline-proxy")
	}
	return errors.Join(served, err)
}

var errRehearsal = errors.New("only a rehearsal")

// rehearse is the route that would come of an edit, of which nothing is kept, and after which
// the app may have another name.
func (rs *Routes) rehearse(ctx context.Context, app string, edit func(daemon.Tx) error, after string) (route daemon.Route, err error) {
	err = rs.Store.Update(ctx, func(tx daemon.Tx) error {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return err
		}
		if err := edit(tx); err != nil {
			return err
		}
		if route, err = rs.routeIn(tx, after); err != nil {
			return err
		}
		return errRehearsal
	})
	if errors.Is(err, errRehearsal) {
		err = nil
	}
	return route, err
}

// syncRouteLater has the proxy follow the state of an app as soon as it is back.
func (rs *Routes) syncRouteLater(ctx context.Context, app string) {
	err := rs.Life.Outlast(ctx, nil, func(ctx context.Context) error {
		unlock, err := rs.Journal.LockApp(ctx, app, nil)
		if err != nil {
			return err
		}
		defer unlock()
		return rs.syncRoute(ctx, app)
	})
	if err != nil && !daemon.IsKind(err, daemon.NotFound) {
		rs.Log.Error("route of an app", "app", app, "err", err)
	}
}

// syncRoute gives the proxy an app's route as the state has it, with the targets that
// it has. One that nothing was deployed to has a route without targets, so that its
// address says so.
func (rs *Routes) syncRoute(ctx context.Context, app string) error {
	route, err := rs.routeSettings(ctx, app)
	if err != nil {
		return err
	}
	return rs.serveRoute(ctx, route)
}

// serveRoute gives the proxy a route, with the targets that it has.
func (rs *Routes) serveRoute(ctx context.Context, route daemon.Route) error {
	served, err := rs.routeOf(ctx, route.App)
	if err != nil {
		return err
	}
	if served == nil {
		rel, err := rs.Release(ctx, route.App, 0)
		if err != nil {
			return err
		}
		if rel.Image != "" {
			return nil // it is being started, which makes its route
		}
		served = &daemon.Route{Undeployed: true}
	}
	route.Targets, route.Health, route.Undeployed = served.Targets, served.Health, served.Undeployed
	return rs.Router.Deploy(ctx, route)
}

func (rs *Routes) WebURL(app string) string {
	host := app + "." + rs.Domain
	if rs.Port != "" {
		host += ":" + rs.Port
	}
	return "https://" + host + "/"
}

// SetMaintenance switches an app's maintenance page on or off.
func (rs *Routes) SetMaintenance(ctx context.Context, name, member string, on bool) error {
	return rs.changeRoute(ctx, name, func(tx daemon.Tx) error {
		app, err := tx.App(name)
		if err != nil {
			return err
		}
		if app.Maintenance == on {
			return nil
		}
		app.Maintenance = on
		event := daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.MaintenanceSet, App: name, Text: "switched maintenance mode on", Undo: "maintenance:off"}
		if !on {
			event.Text, event.Undo = "switched maintenance mode off", "maintenance:on"
		}
		return errors.Join(tx.UpdateApp(app), tx.RecordActivity(event))
	})
}

// routeOf is what the proxy serves for an app now; nil: nothing.
func (rs *Routes) routeOf(ctx context.Context, app string) (*daemon.Route, error) {
	routes, err := rs.Router.Routes(ctx)
	if i := slices.IndexFunc(routes, func(r daemon.Route) bool { return r.App == app }); i >= 0 {
		return &routes[i], err
	}
	return nil, err
}

// routeBack makes what the proxy served before what it serves.
func (rs *Routes) routeBack(ctx context.Context, app string, before *daemon.Route) error {
	if before == nil {
		return rs.Router.Remove(ctx, app)
	}
	if err := rs.Router.Deploy(ctx, *before); err != nil {
		return err
	}
	// What it served meanwhile has requests to answer, and is about to go.
	return rs.Router.Drain(ctx, app, container.DrainBudget)
}
