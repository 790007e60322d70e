package store

import (
	"cmp"
	"strings"
	"time"

	"towline/daemon"
)

// What one event may hold, which a member can make long.
const (
	maxNames = 100
	maxUndo  = 1000 // bytes
)

const activityColumns = "time, kind, member, key, address, app, subject, release, outcome, code, took, names, text, "

// undoColumn is nothing where the app is not the one that it was done with: it would be done to another.
const undoColumn = "CASE WHEN app = '' OR app_created = (SELECT created FROM apps WHERE name = app) THEN undo ELSE '' END"

func readActivity(_ *tx, scan scanner) (a daemon.Activity, err error) {
	err = scan(&a.ID, at(&a.Time), &a.Kind, &a.Member, &a.Key, &a.Address, &a.App, &a.Subject, &a.Release, &a.Outcome, &a.Code, &a.Took, doc(&a.Names), &a.Text, &a.Undo)
	return a, err
}

func (t activityTx) RecordActivity(a daemon.Activity) error {
	if c := daemon.CallerOf(t.ctx); c.Member == a.Member && a.Key == "" {
		a.Key, a.Address = c.Key, c.Address
		if a.Took == 0 && !c.Began.IsZero() {
			a.Took = max(0, a.Time.Sub(c.Began)).Truncate(time.Millisecond)
		}
	}
	a.Outcome = cmp.Or(a.Outcome, daemon.Done)
	a.Names = a.Names[:min(len(a.Names), maxNames)]
	if len(a.Undo) > maxUndo {
		a.Undo = "" // who would type that?
	}
	if again, err := t.recordedEnough(a); err != nil || again {
		return err
	}
	id, err := one(t.tx, nil, readValue[int64],
		"INSERT INTO activities ("+activityColumns+"undo, app_created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "+
			"COALESCE((SELECT created FROM apps WHERE name = ?), 0)) RETURNING id",
		at(&a.Time), a.Kind, a.Member, a.Key, a.Address, a.App, a.Subject, a.Release, a.Outcome, a.Code, a.Took, doc(a.Names), a.Text, a.Undo, a.App)
	if err != nil {
		return err
	}
	old := a.Time.Add(-daemon.KeptActivityFor)
	_, err = t.conn.ExecContext(t.ctx, "DELETE FROM activities WHERE id <= ? OR time < ?", id-daemon.KeptActivity, at(&old))
	return failed(err)
}

// recordedEnough tells of what repeats itself whether it needs no other event.
func (t activityTx) recordedEnough(a daemon.Activity) (bool, error) {
	switch {
	case a.Outcome == daemon.Refused:
		since := a.Time.Add(-time.Hour)
		n, err := one(t.tx, nil, readValue[int], "SELECT COUNT(*) FROM activities WHERE member = ? AND kind = ? AND time > ?", a.Member, a.Kind, at(&since))
		return n >= daemon.MaxRefusals, err
	case a.Kind == daemon.ConfigRead:
		since := a.Time.Add(-daemon.ReadAgain)
		n, err := one(t.tx, nil, readValue[int],
			"SELECT COUNT(*) FROM activities WHERE member = ? AND kind = ? AND time > ? AND key = ? AND app = ? AND names = ?",
			a.Member, a.Kind, at(&since), a.Key, a.App, doc(a.Names))
		return n > 0, err
	}
	return false, nil
}

func (t activityTx) Activities(q daemon.ActivityQuery) ([]daemon.Activity, error) {
	where, args := []string{"id > ?"}, []any{q.After}
	and := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	switch {
	case q.Apps == nil:
	case len(q.Apps) == 0:
		and("FALSE")
	default:
		for _, app := range q.Apps {
			args = append(args, app.Name, at(&app.Created))
		}
		and("(app, app_created) IN (VALUES " + strings.Repeat("(?, ?), ", len(q.Apps)-1) + "(?, ?))")
	}
	if q.Member != "" {
		and("(member = ? OR ? = 'operator' AND member = '')", q.Member, q.Member)
	}
	if q.Kind != "" {
		and("(kind = ? OR substr(kind, 1, ?) = ?)", q.Kind, len(q.Kind)+1, q.Kind+".")
	}
	if !q.Since.IsZero() {
		and("time >= ?", at(&q.Since))
	}
	if q.Limit <= 0 {
		q.Limit = -1
	}
	return list(t.tx, readActivity, "SELECT id, "+activityColumns+undoColumn+" FROM activities WHERE "+strings.Join(where, " AND ")+" ORDER BY id DESC LIMIT ?", append(args, q.Limit)...)
}
