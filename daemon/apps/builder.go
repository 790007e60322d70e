package apps

import (
	"context"
	"io"

	"towline/daemon"
)

// SetBuilder chooses how an app's next pushes are built.
func (as *Apps) SetBuilder(ctx context.Context, name, member string, choice daemon.BuilderChoice) (daemon.BuilderChoice, error) {
	choice, err := daemon.CheckBuilderChoice(choice)
	if err != nil {
		return choice, err
	}
	return choice, as.Store.Update(ctx, func(tx daemon.Tx) error {
		app, err := daemon.FindApp(tx, name)
		if err != nil || app.Builder == choice {
			return err
		}
		undo := "builder:set " + app.Builder.String()
		app.Builder = choice
		if err := tx.UpdateApp(app); err != nil {
			return err
		}
		return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.BuilderSet, App: name, Text: "set the builder: " + choice.String(), Undo: undo})
	})
}

// PurgeBuilds forgets what earlier builds of an app left to make the next one quick, and which
// images they made: the next push is built from nothing. It waits for the app's turn.
func (as *Apps) PurgeBuilds(ctx context.Context, name, member string, out io.Writer) error {
	unlock, err := as.Journal.LockApp(ctx, name, out)
	if err != nil {
		return err
	}
	defer unlock()
	err = as.Store.Update(ctx, func(tx daemon.Tx) error {
		if _, err := daemon.FindApp(tx, name); err != nil {
			return err
		}
		return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.BuildsPurged, App: name, Text: "removed what makes builds quick"})
	})
	if err != nil {
		return err
	}
	return as.Builder.RemoveCaches(ctx, name)
}
