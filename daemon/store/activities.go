package store

import "towline/daemon"

// maxActivities are kept; older ones make room.
const maxActivities = 100_000

func readActivity(_ *tx, scan scanner) (a daemon.Activity, err error) {
	err = scan(at(&a.Time), &a.Member, &a.App, &a.Text)
	return a, err
}

func (t *tx) RecordActivity(a daemon.Activity) error {
	id, err := one(t, nil, readValue[int64],
		"INSERT INTO activities (time, member, app, text) VALUES (?, ?, ?, ?) RETURNING id", at(&a.Time), a.Member, a.App, a.Text)
	if err != nil {
		return err
	}
	_, err = t.conn.ExecContext(t.ctx, "DELETE FROM activities WHERE id <= ?", id-maxActivities)
	return failed(err)
}

// Activities returns all for a limit of 0.
func (t *tx) Activities(app string, limit int) ([]daemon.Activity, error) {
	if limit <= 0 {
		limit = -1
	}
	if app == "" {
		return list(t, readActivity, "SELECT time, member, app, text FROM activities ORDER BY id DESC LIMIT ?", limit)
	}
	return list(t, readActivity, "SELECT time, member, app, text FROM activities WHERE app = ? ORDER BY id DESC LIMIT ?", app, limit)
}
