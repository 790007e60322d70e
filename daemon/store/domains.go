package store

import "towline/daemon"

func readDomain(_ *tx, scan scanner) (d daemon.Domain, err error) {
	err = scan(&d.App, &d.Host, at(&d.Created), &d.Redirect)
	return d, err
}

// Domains come by host.
func (t routeTx) Domains(app string) ([]daemon.Domain, error) {
	return list(t.tx, readDomain, "SELECT app, host, created, redirect FROM domains WHERE app = ? ORDER BY host", app)
}

// InsertDomain fails for a host that any app has, without naming that app: it may
// be none of the caller's business.
func (t routeTx) InsertDomain(d daemon.Domain) error {
	if err := t.appExists(d.App); err != nil {
		return err
	}
	return t.insert(daemon.Errorf(daemon.Exists, "domain %q already leads to an app", d.Host).
		WithHint("remove it there first, with towline domains:remove %s", d.Host),
		"INSERT INTO domains (app, host, created, redirect) VALUES (?, ?, ?, ?)", d.App, d.Host, at(&d.Created), d.Redirect)
}

func (t routeTx) UpdateDomain(d daemon.Domain) error {
	return t.change(noDomain(d.App, d.Host), "UPDATE domains SET created = ?, redirect = ? WHERE app = ? AND host = ?",
		at(&d.Created), d.Redirect, d.App, d.Host)
}

func noDomain(app, host string) error {
	return daemon.Errorf(daemon.NotFound, "app %q has no domain %q", app, host).WithHint("towline domains -a %s lists them", app)
}

func (t routeTx) DeleteDomain(app, host string) error {
	return t.change(noDomain(app, host),
		"DELETE FROM domains WHERE app = ? AND host = ?", app, host)
}
