package store

import "towline/daemon"

func readAccess(_ *tx, scan scanner) (a daemon.Access, err error) {
	err = scan(&a.App, &a.Member, doc(&a.Permissions))
	return a, err
}

// Access comes by member.
func (t memberTx) Access(app string) ([]daemon.Access, error) {
	return list(t.tx, readAccess, "SELECT app, member, permissions FROM access WHERE app = ? ORDER BY member", app)
}

func (t memberTx) PutAccess(a daemon.Access) error {
	if err := t.appExists(a.App); err != nil {
		return err
	}
	if err := t.memberExists(a.Member); err != nil {
		return err
	}
	return t.insert(nil, "INSERT OR REPLACE INTO access (app, member, permissions) VALUES (?, ?, ?)", a.App, a.Member, doc(a.Permissions))
}

func (t memberTx) DeleteAccess(app, member string) error {
	return t.change(daemon.Errorf(daemon.NotFound, "member %q has no access to app %q", member, app).
		WithHint("towline access -a %s lists who has", app), "DELETE FROM access WHERE app = ? AND member = ?", app, member)
}
