package store

import "towline/daemon"

const appColumns = "name, created, owner, sealed_config, formation, current, maintenance, deploy_branch, release_backups"

func appConfig(name string) []byte { return place("apps.config", name) }

func readApp(t *tx, scan scanner) (a daemon.App, err error) {
	var config []byte
	if err := scan(&a.Name, at(&a.Created), &a.Owner, &config, doc(&a.Formation), &a.Current, &a.Maintenance, &a.DeployBranch, &a.ReleaseBackups); err != nil {
		return a, err
	}
	a.Config, err = t.seal.openMap(config, appConfig(a.Name))
	return a, err
}

func noApp(name string) *daemon.Error {
	return daemon.Errorf(daemon.NotFound, "app %q does not exist", name).WithHint("towline apps lists them")
}

func (t *tx) appExists(name string) error {
	return t.exists(noApp(name), "SELECT 1 FROM apps WHERE name = ?", name)
}

// Apps come by name.
func (t *tx) Apps() ([]daemon.App, error) {
	return list(t, readApp, "SELECT "+appColumns+" FROM apps ORDER BY name")
}

func (t *tx) App(name string) (daemon.App, error) {
	return one(t, noApp(name), readApp, "SELECT "+appColumns+" FROM apps WHERE name = ?", name)
}

func (t *tx) InsertApp(a daemon.App) error {
	return t.insert(daemon.Errorf(daemon.Exists, "app %q exists already", a.Name).WithHint("choose another name"),
		"INSERT INTO apps ("+appColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		a.Name, at(&a.Created), a.Owner, t.seal.sealMap(a.Config, appConfig(a.Name)), doc(a.Formation), a.Current, a.Maintenance, a.DeployBranch, a.ReleaseBackups)
}

func (t *tx) UpdateApp(a daemon.App) error {
	return t.change(noApp(a.Name),
		"UPDATE apps SET created = ?, owner = ?, sealed_config = ?, formation = ?, current = ?, maintenance = ?, deploy_branch = ?, release_backups = ? WHERE name = ?",
		at(&a.Created), a.Owner, t.seal.sealMap(a.Config, appConfig(a.Name)), doc(a.Formation), a.Current, a.Maintenance, a.DeployBranch, a.ReleaseBackups, a.Name)
}

func (t *tx) DeleteApp(name string) error {
	return t.change(noApp(name), "DELETE FROM apps WHERE name = ?", name)
}
