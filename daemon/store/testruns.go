package store

import "towline/daemon"

const testRunColumns = "app, number, id, pipeline, status, member, branch, commit_id, subject, created, finished, error, nodes"

func readTestRun(_ *tx, scan scanner) (r daemon.TestRun, err error) {
	err = scan(&r.App, &r.Number, &r.ID, &r.Pipeline, &r.Status, &r.Member, &r.Branch, &r.Commit, &r.Subject, at(&r.Created), at(&r.Finished), &r.Error, doc(&r.Nodes))
	return r, err
}

// TestRuns come newest first.
func (t testTx) TestRuns(app string) ([]daemon.TestRun, error) {
	return list(t.tx, readTestRun, "SELECT "+testRunColumns+" FROM test_runs WHERE app = ? ORDER BY number DESC", app)
}

// InsertTestRun counts from the newest one, which is always kept.
func (t testTx) InsertTestRun(r *daemon.TestRun) error {
	if err := t.appExists(r.App); err != nil {
		return err
	}
	number, err := one(t.tx, nil, readValue[int], "SELECT COALESCE(MAX(number), 0) + 1 FROM test_runs WHERE app = ?", r.App)
	if err != nil {
		return err
	}
	r.Number = number
	err = t.insert(daemon.Errorf(daemon.Exists, "app %q has a test run %d already", r.App, r.Number),
		"INSERT INTO test_runs ("+testRunColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.App, r.Number, r.ID, r.Pipeline, r.Status, r.Member, r.Branch, r.Commit, r.Subject, at(&r.Created), at(&r.Finished), r.Error, doc(&r.Nodes))
	if err != nil {
		return err
	}
	_, err = t.conn.ExecContext(t.ctx, "DELETE FROM test_runs WHERE app = ? AND number <= ?", r.App, r.Number-daemon.KeptTests)
	return failed(err)
}

func (t testTx) UpdateTestRun(r daemon.TestRun) error {
	return t.change(daemon.Errorf(daemon.NotFound, "app %q has no test run %d", r.App, r.Number).WithHint("towline ci -a %s lists them", r.App),
		"UPDATE test_runs SET id = ?, pipeline = ?, status = ?, member = ?, branch = ?, commit_id = ?, subject = ?, created = ?, finished = ?, error = ?, nodes = ? WHERE app = ? AND number = ?",
		r.ID, r.Pipeline, r.Status, r.Member, r.Branch, r.Commit, r.Subject, at(&r.Created), at(&r.Finished), r.Error, doc(&r.Nodes), r.App, r.Number)
}
