package apps

import (
	"context"
	"errors"
	"slices"
	"strings"

	"towline/daemon"
)

// Domains lists the host names added to an app. Its own name below the
// installation's domain leads to it as well.
func (rs *Routes) Domains(ctx context.Context, app string) ([]daemon.Domain, error) {
	return daemon.Read(ctx, rs.Store, func(tx daemon.Tx) ([]daemon.Domain, error) {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return nil, err
		}
		return tx.Domains(app)
	})
}

// AddDomain routes a host name to an app, and returns it as it is shown from now on. A name
// leads to one app only; one within or over another app's domain needs rights on that app.
func (rs *Routes) AddDomain(ctx context.Context, app, member, host string) (string, error) {
	host, err := canonicalHost(host)
	if err != nil {
		return "", err
	}
	return host, rs.changeRoute(ctx, app, func(tx daemon.Tx) error { return rs.insertDomain(tx, app, member, host) })
}

// insertDomain adds a host that is free to an app.
func (rs *Routes) insertDomain(tx daemon.Tx, app, member, host string) error {
	if err := rs.checkHostFree(tx, app, member, host); err != nil {
		return err
	}
	if err := tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.DomainAdded, App: app, Subject: host, Text: "added the domain " + host, Undo: "domains:remove " + host}); err != nil {
		return err
	}
	return tx.InsertDomain(daemon.Domain{App: app, Host: host, Created: daemon.Now()})
}

// RemoveDomain stops routing a host name to an app, and returns it as it was shown.
func (rs *Routes) RemoveDomain(ctx context.Context, app, member, host string) (string, error) {
	host, err := canonicalHost(host)
	if err != nil {
		return "", err
	}
	return host, rs.changeRoute(ctx, app, func(tx daemon.Tx) error {
		if host == app+"."+rs.Domain {
			return daemon.Errorf(daemon.Conflict, "%s is the app's own name and always leads to it", host).WithHint("towline maintenance:on -a %s keeps visitors out", app)
		}
		domains, err := tx.Domains(app)
		if err != nil {
			return err
		}
		for _, dom := range domains {
			if dom.Redirect == host {
				return daemon.Errorf(daemon.Conflict, "%s is redirected to %s", dom.Host, host).WithHint("towline domains:remove %s -a %s first", dom.Host, app)
			}
		}
		err = tx.DeleteDomain(app, host)
		if daemon.IsKind(err, daemon.NotFound) {
			return noDomain(app, host)
		}
		if err != nil {
			return err
		}
		return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.DomainRemoved, App: app, Subject: host, Text: "removed the domain " + host, Undo: "domains:add " + host})
	})
}

// RedirectDomain sends the visitors of one of an app's hosts, which is added if it is
// not there, to another; to none, and the host serves the app again.
func (rs *Routes) RedirectDomain(ctx context.Context, app, member, host, to string) error {
	host, err := canonicalHost(host)
	if err == nil && to != "" {
		to, err = canonicalHost(to)
	}
	if err != nil {
		return err
	}
	if strings.HasPrefix(host, "*.") {
		return daemon.Errorf(daemon.Invalid, "a wildcard can't be redirected").WithHint("redirect each host that is to be")
	}
	if host == app+"."+rs.Domain {
		return daemon.Errorf(daemon.Invalid, "%s is the app's own name, which always serves it", host)
	}
	return rs.changeRoute(ctx, app, func(tx daemon.Tx) error {
		domains, err := tx.Domains(app)
		if err == nil && to != "" && !slices.ContainsFunc(domains, func(dom daemon.Domain) bool { return dom.Host == host }) {
			if err = rs.insertDomain(tx, app, member, host); err == nil {
				domains, err = tx.Domains(app)
			}
		}
		if err != nil {
			return err
		}
		find := func(host string) *daemon.Domain {
			if i := slices.IndexFunc(domains, func(dom daemon.Domain) bool { return dom.Host == host }); i >= 0 {
				return &domains[i]
			}
			return nil
		}
		from, target := find(host), find(to)
		switch {
		case from == nil:
			return noDomain(app, host)
		case to == "" || to == app+"."+rs.Domain:
		case target == nil:
			return noDomain(app, to)
		case strings.HasPrefix(to, "*."):
			return daemon.Errorf(daemon.Invalid, "%s is no address that visitors could be sent to", to)
		case target.Redirect != "" || to == host:
			return daemon.Errorf(daemon.Invalid, "%s leads nowhere: it is redirected itself", to)
		}
		for _, dom := range domains {
			if dom.Redirect == host && to != "" {
				return daemon.Errorf(daemon.Conflict, "%s is redirected to %s, which has to serve the app", dom.Host, host).
					WithHint("towline domains:redirect %s -a %s first", dom.Host, app)
			}
		}
		undo := strings.TrimSpace("domains:redirect " + host + " " + from.Redirect)
		from.Redirect = to
		text := "redirected " + host + " to " + to
		if to == "" {
			text = "no longer redirects " + host
		}
		return errors.Join(tx.UpdateDomain(*from), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.DomainRedirected, App: app, Subject: host, Text: text, Undo: undo}))
	})
}

func noDomain(app, host string) error {
	return daemon.Errorf(daemon.NotFound, "%s has no domain %q", app, daemon.Clip(host)).WithHint("towline domains -a %s", app)
}

// hosts are all the names that lead to an app.
func (rs *Routes) hosts(ctx context.Context, app string) ([]string, error) {
	domains, err := daemon.Read(ctx, rs.Store, func(tx daemon.Tx) ([]daemon.Domain, error) { return tx.Domains(app) })
	hosts := []string{app + "." + rs.Domain}
	for _, dom := range domains {
		hosts = append(hosts, dom.Host)
	}
	return hosts, err
}
