// Package activity tells who did what. The rooms record it, each in the transaction of the change;
// here is who may see it.
package activity

import (
	"context"
	"slices"
	"time"

	"towline/daemon"
	"towline/daemon/people"
)

// Log is the activity as members may see it.
type Log struct{ Store daemon.Store }

// Query chooses what to show: of one app, or of all that who asks may view; administrators see
// what is of no app too.
type Query struct {
	App, Member, Kind string
	Since             time.Time
	After             int64 // an ID
	Limit             int   // the newest so many; 0: all
}

// List is what the member may see of it, oldest first.
func (l *Log) List(ctx context.Context, member string, q Query) ([]daemon.Activity, error) {
	list, _, err := l.list(ctx, member, q)
	return list, err
}

// list also tells the ID of the newest event, whoever may see that.
func (l *Log) list(ctx context.Context, member string, q Query) (list []daemon.Activity, newest int64, err error) {
	err = l.Store.View(ctx, func(tx daemon.Tx) error {
		last, err := tx.Activities(daemon.ActivityQuery{After: q.After, Limit: 1})
		if err != nil {
			return err
		}
		if newest = q.After; len(last) == 0 && q.App == "" {
			return nil
		}
		apps, err := visible(tx, member, q.App)
		if err != nil || len(last) == 0 {
			return err
		}
		newest = last[0].ID
		list, err = tx.Activities(daemon.ActivityQuery{Apps: apps, Member: q.Member, Kind: q.Kind, Since: q.Since, After: q.After, Limit: q.Limit})
		return err
	})
	for i := range list {
		list[i].Undo = list[i].UndoCommand()
	}
	slices.Reverse(list)
	return list, newest, err
}

// visible are the apps whose activity the member may see: all those that they may view, or the
// one that is named, which they were let look at. Nil: everything.
func visible(tx daemon.Tx, member, name string) ([]daemon.App, error) {
	if name != "" {
		app, err := daemon.FindApp(tx, name)
		return []daemon.App{app}, err
	}
	if admin, err := people.IsAdministrator(tx, member); err != nil || admin {
		return nil, err
	}
	all, err := tx.Apps()
	if err != nil {
		return nil, err
	}
	apps := []daemon.App{}
	for _, app := range all {
		may, err := people.May(tx, member, app.Name, daemon.View)
		if err != nil {
			return nil, err
		}
		if may {
			apps = append(apps, app)
		}
	}
	return apps, nil
}

// followEvery is how often Follow looks for what is new.
const followEvery = 500 * time.Millisecond

// Follow calls each with what List has, and then with what comes, until ctx ends or each fails.
// What the member may see is looked at anew each time, and of what comes from then on.
func (l *Log) Follow(ctx context.Context, member string, q Query, each func(daemon.Activity) error) error {
	for {
		list, newest, err := l.list(ctx, member, q)
		if err != nil {
			return err
		}
		for _, a := range list {
			if err := each(a); err != nil {
				return err
			}
		}
		q.After, q.Limit = newest, 0
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followEvery):
		}
	}
}

// Record adds what changes nothing here, and so has no transaction of its own: a download, say.
func (l *Log) Record(ctx context.Context, a daemon.Activity) error {
	a.Time = daemon.Now()
	return l.Store.Update(ctx, func(tx daemon.Tx) error { return tx.RecordActivity(a) })
}

// Denied is what a member tried and may not do.
type Denied struct {
	Member, Command    string
	App, Addon, Backup string // to which; all empty: to the machine
}

// Refuse records an attempt, with the app that it was made on. One on what is not there is none.
func (l *Log) Refuse(ctx context.Context, d Denied) error {
	return l.Store.Update(ctx, func(tx daemon.Tx) (err error) {
		app, subject := d.App, d.Command
		switch {
		case d.Addon != "":
			var a daemon.Addon
			a, err = tx.Addon(d.Addon)
			app = a.App
		case d.Backup != "":
			var b daemon.Backup
			b, err = tx.Backup(d.Backup)
			app = b.App
		case d.App != "":
			_, err = tx.App(d.App)
		}
		if daemon.IsKind(err, daemon.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Kind: daemon.AccessRefused, Member: d.Member, App: app, Subject: subject,
			Outcome: daemon.Refused, Text: "was refused " + subject})
	})
}
