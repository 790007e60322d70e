package addons

import (
	"cmp"
	"context"
	"errors"
	"io"

	"towline/daemon"
	"towline/daemon/container"
	"towline/daemon/journal"
	"towline/daemon/work"
)

// Transfer makes an app the owner of an add-on and of its backups.
func (ad *Addons) Transfer(ctx context.Context, name, app, member string) (daemon.Addon, error) {
	unlockApp, err := ad.Journal.LockApp(ctx, app, nil)
	if err != nil {
		return daemon.Addon{}, err
	}
	defer unlockApp()
	unlock, err := ad.Journal.LockAddon(ctx, name, nil)
	if err != nil {
		return daemon.Addon{}, err
	}
	defer unlock()
	addon, err := ad.readyAddon(ctx, name)
	if err != nil {
		return addon, err
	}
	from := addon.App
	if from == app {
		return addon, daemon.Errorf(daemon.Exists, "%s belongs to %s already", name, app)
	}
	addon.App = app
	defer ad.People.RightsChanged(ctx)
	return addon, ad.Store.Update(ctx, func(tx daemon.Tx) error {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return err
		}
		backups, err := tx.Backups(name)
		if err != nil {
			return err
		}
		for _, b := range backups {
			if b.App == from && !b.Created.Before(addon.Created) {
				b.App = app
				if err := tx.UpdateBackup(b); err != nil {
					return err
				}
			}
		}
		return errors.Join(tx.UpdateAddon(addon),
			tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.AddonTransferred, App: app, Subject: name, Text: "took over the add-on " + name + " from " + cmp.Or(from, "nobody")}))
	})
}

const opRestart = "restart"

func (ad *Addons) restartKind() journal.Kind {
	return journal.Kind{Name: opRestart, Formerly: "bounce", Text: "a restart", Of: journal.OfAddon, Steps: []string{"restart"}, Recover: ad.unlessGone(ad.recoverRestart)}
}

// Restart stops the service and starts it again, in a new container. Requests of the apps attached to
// it wait meanwhile.
func (ad *Addons) Restart(ctx context.Context, name, member string, out io.Writer) error {
	unlock, err := ad.Journal.LockAddon(ctx, name, out)
	if err != nil {
		return err
	}
	defer unlock()
	addon, err := ad.readyAddon(ctx, name)
	if err != nil {
		return err
	}
	ctx, cancel := ad.Life.Detach(ctx)
	defer cancel()
	event := daemon.Activity{Kind: daemon.AddonRestarted, Member: member, App: addon.App, Subject: name, Text: "restarted the add-on " + name}
	op, err := ad.Journal.Begin(ctx, opRestart, name, event, "restart", nil)
	if err != nil {
		return err
	}
	work.Stage(out, "Restarting %s; requests of its apps wait", name)
	err = daemon.Try("a restart", func() error {
		if err := ad.services.PauseApps(ctx, name); err != nil {
			return err
		}
		if err := ad.Engine.StopContainer(ctx, ad.services.ContainerName(addon), container.StopGrace); err != nil {
			return err
		}
		// One that was made by an earlier version may lack what is made today.
		if err := ad.Engine.RemoveContainer(ctx, ad.services.ContainerName(addon)); err != nil {
			return err
		}
		return ad.services.StartContainer(ctx, addon, out)
	})
	if errors.Is(context.Cause(ctx), daemon.ErrClosing) {
		return daemon.ErrClosing
	}
	if daemon.IsAway(err) {
		err = errors.Join(err, ad.Life.Outlast(ctx, out, func(ctx context.Context) error { return ad.services.StartContainer(ctx, addon, out) }))
	}
	if rerr := ad.Life.Outlast(ctx, out, func(ctx context.Context) error { return ad.services.ResumeApps(ctx, name) }); rerr != nil {
		return errors.Join(err, rerr) // the next start lets the requests go
	}
	return errors.Join(err, op.Finish(context.WithoutCancel(ctx), func(tx daemon.Tx) error {
		if err != nil {
			return nil
		}
		return op.Done(tx)
	}))
}

func (ad *Addons) recoverRestart(ctx context.Context, op *journal.Operation) error {
	addon, err := ad.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	err = ad.services.StartContainer(ctx, addon, nil)
	if rerr := ad.services.ResumeApps(ctx, addon.Name); rerr != nil {
		return errors.Join(err, rerr)
	}
	if err != nil {
		return errors.Join(err, op.Finish(ctx))
	}
	return op.Finish(ctx, op.Done)
}

// ReadLogs sends the lines that the service itself has written: see Logs.Read. The
// query's App is the add-on's name.
func (ad *Addons) ReadLogs(ctx context.Context, q daemon.LogQuery, line func(daemon.LogLine) error) error {
	if _, err := ad.Addon(ctx, q.App); err != nil {
		return err
	}
	q.App = "+" + q.App
	return ad.Logs.Read(ctx, q, line)
}

// consoleUser is nobody: a console may lead to a shell, whose member must not be the
// service's user, nor root of its container.
const consoleUser = "65534:65534"

// Console runs the manifest's console in the service's container and returns its
// exit code. It ends with the user's connection.
func (ad *Addons) Console(ctx context.Context, name, member, term string, s daemon.Streams) (int, error) {
	addon, err := ad.readyAddon(ctx, name)
	if err != nil {
		return 0, err
	}
	spec, err := ad.services.Render(addon)
	if err != nil {
		return 0, err
	}
	if len(spec.Console.Command) == 0 {
		return 0, daemon.Errorf(daemon.Conflict, "%s has no console", addon.Service).WithHint("an app attached to it can: towline run -a APP ...")
	}
	event := daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.ConsoleBegan, App: addon.App, Subject: name, Text: "opened the console of the add-on " + name}
	if err := ad.Store.Update(ctx, func(tx daemon.Tx) error { return tx.RecordActivity(event) }); err != nil {
		return 0, err
	}
	env := map[string]string{"HOME": "/nonexistent"} // that of nobody: histories of one member are not for others
	for k, v := range spec.Console.Env {
		env[k] = v
	}
	if s.Terminal && term != "" {
		env["TERM"] = term
	}
	code, err := ad.Engine.Exec(ctx, ad.services.ContainerName(addon), daemon.ExecSpec{Command: spec.Console.Command, Env: env, User: consoleUser}, s)
	if daemon.IsKind(err, daemon.NotFound) {
		err = daemon.Errorf(daemon.Conflict, "%s is not running", name).WithHint("towline addons:restart %s", name)
	}
	end := event
	end.Time, end.Kind, end.Code, end.Text = daemon.Now(), daemon.ConsoleEnded, code, "the console of the add-on "+name+" ended"
	end.Took = end.Time.Sub(event.Time)
	if err != nil {
		end.Outcome = daemon.Undone
	}
	rerr := ad.Store.Update(context.WithoutCancel(ctx), func(tx daemon.Tx) error { return tx.RecordActivity(end) })
	return code, errors.Join(err, rerr)
}
