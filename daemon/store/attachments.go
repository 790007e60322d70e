package store

import "towline/daemon"

func readAttachment(_ *tx, scan scanner) (a daemon.AddonAttachment, err error) {
	err = scan(&a.Addon, &a.App, &a.Prefix, doc(&a.Vars), doc(&a.Aliases))
	return a, err
}

// Attachments come in the order they were made.
func (t addonTx) Attachments() ([]daemon.AddonAttachment, error) {
	return list(t.tx, readAttachment, "SELECT addon, app, prefix, vars, aliases FROM attachments ORDER BY id")
}

func (t addonTx) InsertAttachment(a daemon.AddonAttachment) error {
	if err := t.addonExists(a.Addon); err != nil {
		return err
	}
	if err := t.appExists(a.App); err != nil {
		return err
	}
	return t.insert(daemon.Errorf(daemon.Exists, "add-on %q is attached to app %q already", a.Addon, a.App),
		"INSERT INTO attachments (addon, app, prefix, vars, aliases) VALUES (?, ?, ?, ?, ?)", a.Addon, a.App, a.Prefix, doc(a.Vars), doc(a.Aliases))
}

func (t addonTx) DeleteAttachment(addon, app string) error {
	return t.change(daemon.Errorf(daemon.NotFound, "add-on %q is not attached to app %q", addon, app).
		WithHint("towline addons -a %s lists those that are", app),
		"DELETE FROM attachments WHERE addon = ? AND app = ?", addon, app)
}
