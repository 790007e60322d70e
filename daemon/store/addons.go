package store

import "towline/daemon"

const addonColumns = "name, app, service, plan, version, generation, status, created, sealed_secrets"

func addonSecrets(name string) []byte { return place("addons.secrets", name) }

func readAddon(t *tx, scan scanner) (a daemon.Addon, err error) {
	var secrets []byte
	if err := scan(&a.Name, maybe(&a.App), &a.Service, &a.Plan, &a.Version, &a.Generation, &a.Status, at(&a.Created), &secrets); err != nil {
		return a, err
	}
	a.Secrets, err = t.seal.openMap(secrets, addonSecrets(a.Name))
	return a, err
}

func noAddon(name string) *daemon.Error {
	return daemon.Errorf(daemon.NotFound, "add-on %q does not exist", name).WithHint("towline addons lists them")
}

func (t *tx) addonExists(name string) error {
	return t.exists(noAddon(name), "SELECT 1 FROM addons WHERE name = ?", name)
}

// Addons come by name.
func (t addonTx) Addons() ([]daemon.Addon, error) {
	return list(t.tx, readAddon, "SELECT "+addonColumns+" FROM addons ORDER BY name")
}

func (t addonTx) Addon(name string) (daemon.Addon, error) {
	return one(t.tx, noAddon(name), readAddon, "SELECT "+addonColumns+" FROM addons WHERE name = ?", name)
}

func (t addonTx) InsertAddon(a daemon.Addon) error {
	return t.insert(daemon.Errorf(daemon.Exists, "add-on %q exists already", a.Name).WithHint("choose another name"),
		"INSERT INTO addons ("+addonColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		a.Name, maybe(&a.App), a.Service, a.Plan, a.Version, a.Generation, a.Status, at(&a.Created), t.seal.sealMap(a.Secrets, addonSecrets(a.Name)))
}

func (t addonTx) UpdateAddon(a daemon.Addon) error {
	return t.change(noAddon(a.Name),
		"UPDATE addons SET app = ?, service = ?, plan = ?, version = ?, generation = ?, status = ?, created = ?, sealed_secrets = ? WHERE name = ?",
		maybe(&a.App), a.Service, a.Plan, a.Version, a.Generation, a.Status, at(&a.Created), t.seal.sealMap(a.Secrets, addonSecrets(a.Name)), a.Name)
}

// DeleteAddon takes the schedule with it too. Backups stay.
func (t addonTx) DeleteAddon(name string) error {
	return t.change(noAddon(name), "DELETE FROM addons WHERE name = ?", name)
}
