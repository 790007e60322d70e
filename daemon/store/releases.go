package store

import (
	"strconv"

	"towline/daemon"
)

const releaseColumns = "app, version, status, description, member, created, commit_id, image, kind, processes, health, sealed_config, output, error, origin_app, origin_version"

func releaseConfig(app string, version int) []byte {
	return place("releases.config", app, strconv.Itoa(version))
}

func readRelease(t *tx, scan scanner) (r daemon.Release, err error) {
	var config []byte
	var origin daemon.Origin
	err = scan(&r.App, &r.Version, &r.Status, &r.Description, &r.Member, at(&r.Created), &r.Commit, &r.Image, &r.Kind,
		doc(&r.Processes), doc(&r.Health), &config, &r.Output, &r.Error, &origin.App, &origin.Version)
	if err != nil {
		return r, err
	}
	if origin.App != "" {
		r.Origin = &origin
	}
	if r.ConfigDropped = len(config) == 0; r.ConfigDropped {
		return r, nil
	}
	r.Config, err = t.seal.openMap(config, releaseConfig(r.App, r.Version))
	return r, err
}

// sealedConfig is empty for config vars that are no longer kept.
func (t releaseTx) sealedConfig(r daemon.Release) []byte {
	if r.ConfigDropped {
		return []byte{}
	}
	return t.seal.sealMap(r.Config, releaseConfig(r.App, r.Version))
}

func originOf(r daemon.Release) daemon.Origin {
	if r.Origin == nil {
		return daemon.Origin{}
	}
	return *r.Origin
}

func noRelease(app string, version int) *daemon.Error {
	return daemon.Errorf(daemon.NotFound, "app %q has no release v%d", app, version).WithHint("towline releases -a %s lists them", app)
}

func (t releaseTx) Releases(app string) ([]daemon.Release, error) {
	return list(t.tx, readRelease, "SELECT "+releaseColumns+" FROM releases WHERE app = ? ORDER BY version DESC", app)
}

func (t releaseTx) Release(app string, version int) (daemon.Release, error) {
	return one(t.tx, noRelease(app, version), readRelease,
		"SELECT "+releaseColumns+" FROM releases WHERE app = ? AND version = ?", app, version)
}

// InsertRelease counts in the app's row, so that no version is ever given twice,
// whatever became of the releases before.
func (t releaseTx) InsertRelease(r *daemon.Release) error {
	version, err := one(t.tx, noApp(r.App), readValue[int],
		"UPDATE apps SET last_version = last_version + 1 WHERE name = ? RETURNING last_version", r.App)
	if err != nil {
		return err
	}
	r.Version = version
	err = t.insert(daemon.Errorf(daemon.Exists, "app %q has a release v%d already", r.App, r.Version),
		"INSERT INTO releases ("+releaseColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.App, r.Version, r.Status, r.Description, r.Member, at(&r.Created), r.Commit, r.Image, r.Kind,
		doc(r.Processes), doc(r.Health), t.sealedConfig(*r), r.Output, r.Error, originOf(*r).App, originOf(*r).Version)
	if err != nil {
		return err
	}
	_, err = t.conn.ExecContext(t.ctx, "UPDATE releases SET sealed_config = x'' WHERE app = ? AND version <= ? AND length(sealed_config) > 0 "+
		"AND version != (SELECT current FROM apps WHERE name = releases.app)", r.App, r.Version-daemon.KeptConfigs)
	return failed(err)
}

func (t releaseTx) UpdateRelease(r daemon.Release) error {
	return t.change(noRelease(r.App, r.Version),
		"UPDATE releases SET status = ?, description = ?, member = ?, created = ?, commit_id = ?, image = ?, kind = ?, "+
			"processes = ?, health = ?, sealed_config = ?, output = ?, error = ?, origin_app = ?, origin_version = ? WHERE app = ? AND version = ?",
		r.Status, r.Description, r.Member, at(&r.Created), r.Commit, r.Image, r.Kind,
		doc(r.Processes), doc(r.Health), t.sealedConfig(r), r.Output, r.Error, originOf(r).App, originOf(r).Version, r.App, r.Version)
}
