package apps

import (
	"context"

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
