package store

import (
	"cmp"
	"maps"
	"strings"

	"towline/daemon"
)

const appColumns = "name, handle, created, owner, sealed_config, formation, current, maintenance, deploy_branch, release_backups, builder, capabilities, tests_first, sealed_test_config"

func appConfig(name string) []byte { return place("apps.config", name) }

func testConfig(name string) []byte { return place("apps.test_config", name) }

func readApp(t *tx, scan scanner) (a daemon.App, err error) {
	var config, tests []byte
	if err := scan(&a.Name, &a.Handle, at(&a.Created), &a.Owner, &config, doc(&a.Formation), &a.Current, &a.Maintenance, &a.DeployBranch, &a.ReleaseBackups, doc(&a.Builder), doc(&a.Capabilities), &a.TestsFirst, &tests); err != nil {
		return a, err
	}
	a.Formation, a.Kept = partFormation(a.Formation)
	if a.Config, err = t.seal.openMap(config, appConfig(a.Name)); err == nil && len(tests) > 0 {
		a.TestConfig, err = t.seal.openMap(tests, testConfig(a.Name))
	}
	return a, err
}

// keptType marks, in the stored formation, the counts that are kept for later. No process
// type begins with it.
const keptType = "."

func wholeFormation(a daemon.App) daemon.Formation {
	if len(a.Kept) == 0 {
		return a.Formation
	}
	all := daemon.Formation{}
	maps.Copy(all, a.Formation)
	for name, n := range a.Kept {
		all[keptType+name] = n
	}
	return all
}

func partFormation(all daemon.Formation) (now, kept daemon.Formation) {
	for marked, n := range all {
		if name, ok := strings.CutPrefix(marked, keptType); ok {
			if kept == nil {
				kept = daemon.Formation{}
			}
			kept[name] = n
			delete(all, marked)
		}
	}
	return all, kept
}

func noApp(name string) *daemon.Error {
	return daemon.Errorf(daemon.NotFound, "app %q does not exist", name).WithHint("towline apps lists them")
}

func (t *tx) appExists(name string) error {
	return t.exists(noApp(name), "SELECT 1 FROM apps WHERE name = ?", name)
}

// Apps come by name.
func (t appTx) Apps() ([]daemon.App, error) {
	return list(t.tx, readApp, "SELECT "+appColumns+" FROM apps ORDER BY name")
}

func (t appTx) App(name string) (daemon.App, error) {
	return one(t.tx, noApp(name), readApp, "SELECT "+appColumns+" FROM apps WHERE name = ?", name)
}

func (t appTx) InsertApp(a daemon.App) error {
	return t.insert(daemon.Errorf(daemon.Exists, "app %q exists already", a.Name).WithHint("choose another name"),
		"INSERT INTO apps ("+appColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		a.Name, cmp.Or(a.Handle, a.Name), at(&a.Created), a.Owner, t.seal.sealMap(a.Config, appConfig(a.Name)), doc(wholeFormation(a)), a.Current, a.Maintenance, a.DeployBranch, a.ReleaseBackups,
		doc(a.Builder), doc(a.Capabilities), a.TestsFirst, t.sealedTests(a, a.Name))
}

func (t appTx) UpdateApp(a daemon.App) error {
	return t.change(noApp(a.Name),
		"UPDATE apps SET created = ?, owner = ?, sealed_config = ?, formation = ?, current = ?, maintenance = ?, deploy_branch = ?, release_backups = ?, builder = ?, capabilities = ?, tests_first = ?, sealed_test_config = ? WHERE name = ?",
		at(&a.Created), a.Owner, t.seal.sealMap(a.Config, appConfig(a.Name)), doc(wholeFormation(a)), a.Current, a.Maintenance, a.DeployBranch, a.ReleaseBackups,
		doc(a.Builder), doc(a.Capabilities), a.TestsFirst, t.sealedTests(a, a.Name), a.Name)
}

func (t appTx) sealedTests(a daemon.App, name string) []byte {
	if len(a.TestConfig) == 0 {
		return []byte{}
	}
	return t.seal.sealMap(a.TestConfig, testConfig(name))
}

// RenameApp seals the config vars anew, which are bound to their place.
func (t appTx) RenameApp(name, to string) error {
	app, err := t.App(name)
	if err != nil {
		return err
	}
	kept := releaseTx(t)
	releases, err := kept.Releases(name)
	if err != nil {
		return err
	}
	// References are checked as the transaction ends, and for it alone.
	if _, err := t.conn.ExecContext(t.ctx, "PRAGMA defer_foreign_keys = 1"); err != nil {
		return failed(err)
	}
	_, err = t.conn.ExecContext(t.ctx, "UPDATE apps SET name = ?, sealed_config = ?, sealed_test_config = ? WHERE name = ?", to, t.seal.sealMap(app.Config, appConfig(to)), t.sealedTests(app, to), name)
	if duplicate(err) {
		return daemon.Errorf(daemon.Exists, "app %q exists already", to).WithHint("choose another name")
	}
	if err != nil {
		return failed(err)
	}
	for _, table := range []string{"releases", "builds", "test_runs", "domains", "rules", "attachments", "access", "addons", "backups", "couplings"} {
		if _, err := t.conn.ExecContext(t.ctx, "UPDATE "+table+" SET app = ? WHERE app = ?", to, name); err != nil {
			return failed(err)
		}
	}
	// Those of an earlier app of the name stay that one's.
	if _, err := t.conn.ExecContext(t.ctx, "UPDATE activities SET app = ? WHERE app = ? AND app_created = ?", to, name, at(&app.Created)); err != nil {
		return failed(err)
	}
	if _, err := t.conn.ExecContext(t.ctx, "UPDATE releases SET origin_app = ? WHERE origin_app = ?", to, name); err != nil {
		return failed(err)
	}
	for _, r := range releases {
		r.App = to
		_, err := t.conn.ExecContext(t.ctx, "UPDATE releases SET sealed_config = ? WHERE app = ? AND version = ?", kept.sealedConfig(r), to, r.Version)
		if err != nil {
			return failed(err)
		}
	}
	return nil
}

func (t appTx) DeleteApp(name string) error {
	return t.change(noApp(name), "DELETE FROM apps WHERE name = ?", name)
}
