package daemon

import (
	"context"
	"slices"
	"strings"
)

// Domains lists the host names added to an app. Its own name below the
// installation's domain leads to it as well.
func (d *Daemon) Domains(ctx context.Context, app string) ([]Domain, error) {
	return read(ctx, d, func(tx Tx) ([]Domain, error) {
		if _, err := findApp(tx, app); err != nil {
			return nil, err
		}
		return tx.Domains(app)
	})
}

// AddDomain routes a host name to an app. A name leads to one app only.
func (d *Daemon) AddDomain(ctx context.Context, app, member, host string) error {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if err := CheckHost(host); err != nil {
		return err
	}
	return d.changeDomains(ctx, app, func(tx Tx) error {
		if name, ok := strings.CutSuffix(host, "."+d.Domain); ok && !strings.Contains(name, ".") {
			if name == "*" || name != app {
				return Errorf(Conflict, "%s is kept for the app of that name", host).WithHint("add a name outside %s", d.Domain)
			}
			return Errorf(Exists, "%s leads to %s already", host, app)
		}
		apps, err := tx.Apps()
		if err != nil {
			return err
		}
		for _, a := range apps {
			taken, err := tx.Domains(a.Name)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(taken, func(t Domain) bool { return t.Host == host }) {
				// Whose it is, is not everyone's to know.
				if a.Name != app {
					return Errorf(Exists, "%s leads to another app already", host)
				}
				return Errorf(Exists, "%s leads to %s already", host, app)
			}
		}
		if err := tx.RecordActivity(Activity{Time: now(), Member: member, App: app, Text: "added the domain " + host}); err != nil {
			return err
		}
		return tx.InsertDomain(Domain{App: app, Host: host, Created: now()})
	})
}

// RemoveDomain stops routing a host name to an app.
func (d *Daemon) RemoveDomain(ctx context.Context, app, member, host string) error {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return d.changeDomains(ctx, app, func(tx Tx) error {
		if host == app+"."+d.Domain {
			return Errorf(Conflict, "%s is the app's own name and always leads to it", host).WithHint("towline maintenance:on -a %s keeps visitors out", app)
		}
		err := tx.DeleteDomain(app, host)
		if isKind(err, NotFound) {
			return Errorf(NotFound, "%s has no domain %q", app, clip(host)).WithHint("towline domains -a %s", app)
		}
		if err != nil {
			return err
		}
		return tx.RecordActivity(Activity{Time: now(), Member: member, App: app, Text: "removed the domain " + host})
	})
}

func (d *Daemon) changeDomains(ctx context.Context, app string, edit func(Tx) error) error {
	unlock, err := d.lockApp(ctx, app, nil)
	if err != nil {
		return err
	}
	defer unlock()
	err = d.Store.Update(ctx, func(tx Tx) error {
		if _, err := findApp(tx, app); err != nil {
			return err
		}
		return edit(tx)
	})
	if err != nil {
		return err
	}
	return d.syncRoute(ctx, app)
}

// hosts are all the names that lead to an app.
func (d *Daemon) hosts(ctx context.Context, app string) ([]string, error) {
	domains, err := read(ctx, d, func(tx Tx) ([]Domain, error) { return tx.Domains(app) })
	hosts := []string{app + "." + d.Domain}
	for _, dom := range domains {
		hosts = append(hosts, dom.Host)
	}
	return hosts, err
}

// syncRoute gives the proxy an app's present hosts and switches, with the targets
// that it has. One that nothing was deployed to has a route without targets, so that
// its address says so.
func (d *Daemon) syncRoute(ctx context.Context, app string) error {
	r, err := d.routeOf(ctx, app)
	if err != nil {
		return err
	}
	a, err := d.App(ctx, app)
	if err != nil {
		return err
	}
	if r == nil {
		rel, err := d.Release(ctx, app, 0)
		if err != nil {
			return err
		}
		if rel.Image != "" {
			return nil // it is being started, which makes its route
		}
		r = &Route{App: app, Undeployed: true}
	}
	r.Maintenance = a.Maintenance
	if r.Hosts, err = d.hosts(ctx, app); err != nil {
		return err
	}
	return d.Router.Deploy(ctx, *r)
}

// Certificates lists the certificates of an app's hosts.
func (d *Daemon) Certificates(ctx context.Context, app string) ([]Certificate, error) {
	hosts, err := d.hosts(ctx, app)
	if err != nil {
		return nil, err
	}
	all, err := d.Router.Certificates(ctx)
	return slices.DeleteFunc(all, func(c Certificate) bool { return !slices.Contains(hosts, c.Host) }), err
}
