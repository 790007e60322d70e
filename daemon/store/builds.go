package store

import "towline/daemon"

const buildColumns = "app, number, status, member, commit_id, created, finished, release, error"

func readBuild(_ *tx, scan scanner) (b daemon.Build, err error) {
	err = scan(&b.App, &b.Number, &b.Status, &b.Member, &b.Commit, at(&b.Created), at(&b.Finished), &b.Release, &b.Error)
	return b, err
}

// Builds come newest first.
func (t buildTx) Builds(app string) ([]daemon.Build, error) {
	return list(t.tx, readBuild, "SELECT "+buildColumns+" FROM builds WHERE app = ? ORDER BY number DESC", app)
}

// InsertBuild counts from the newest one, which is always kept.
func (t buildTx) InsertBuild(b *daemon.Build) error {
	if err := t.appExists(b.App); err != nil {
		return err
	}
	number, err := one(t.tx, nil, readValue[int], "SELECT COALESCE(MAX(number), 0) + 1 FROM builds WHERE app = ?", b.App)
	if err != nil {
		return err
	}
	b.Number = number
	err = t.insert(daemon.Errorf(daemon.Exists, "app %q has a build %d already", b.App, b.Number),
		"INSERT INTO builds ("+buildColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		b.App, b.Number, b.Status, b.Member, b.Commit, at(&b.Created), at(&b.Finished), b.Release, b.Error)
	if err != nil {
		return err
	}
	_, err = t.conn.ExecContext(t.ctx, "DELETE FROM builds WHERE app = ? AND number <= ?", b.App, b.Number-daemon.KeptBuilds)
	return failed(err)
}

func (t buildTx) UpdateBuild(b daemon.Build) error {
	return t.change(daemon.Errorf(daemon.NotFound, "app %q has no build %d", b.App, b.Number).WithHint("towline builds -a %s lists them", b.App),
		"UPDATE builds SET status = ?, member = ?, commit_id = ?, created = ?, finished = ?, release = ?, error = ? WHERE app = ? AND number = ?",
		b.Status, b.Member, b.Commit, at(&b.Created), at(&b.Finished), b.Release, b.Error, b.App, b.Number)
}
