package addons

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
)

const opDetach = "detach"

func (ats *Attachments) detachKind() journal.Kind {
	return journal.Kind{Name: opDetach, Text: "the detachment", Of: journal.OfAddon, Releases: true, Background: "disconnect",
		Steps: []string{"release", "disconnect"}, Recover: ats.unlessGone(ats.recoverDetach)}
}

// Detach takes an add-on from an app: a release without its config vars, and once
// nothing of the releases before runs any more, the way to it is closed. If the app
// does not start without them, it stays attached.
func (ats *Attachments) Detach(ctx context.Context, name, app, member string, out io.Writer) error {
	unlock, err := ats.Journal.LockApp(ctx, app, out)
	if err != nil {
		return err
	}
	defer unlock()
	unlockAddon, err := ats.Journal.LockAddon(ctx, name, out)
	if err != nil {
		return err
	}
	defer unlockAddon()
	addon, err := ats.readyAddon(ctx, name)
	if err != nil {
		return err
	}
	at, err := ats.attachment(ctx, name, app)
	if err != nil {
		return err
	}
	ctx, cancel := ats.Life.Detach(ctx)
	defer cancel()
	work.Stage(out, "Detaching %s from %s", name, app)
	event := daemon.Activity{Kind: daemon.AddonDetached, Member: member, App: app, Subject: name, Names: at.Vars,
		Text: "detached the add-on " + name, Undo: "addons:attach " + name}
	op, err := ats.Journal.Begin(ctx, opDetach, name, event, "release", attachData{App: app, Prefix: at.Prefix, Aliases: at.Aliases})
	if err != nil {
		return err
	}
	if err := ats.releaseWithout(ctx, op, addon, at, out); err != nil {
		return err
	}
	ats.persist(op, "taking it out of the network of an app", ats.closeWay)
	return nil
}

// releaseWithout releases the app without the add-on's config vars, or puts them back.
func (ats *Attachments) releaseWithout(ctx context.Context, op *journal.Operation, addon daemon.Addon, at daemon.AddonAttachment, out io.Writer) error {
	if _, err := ats.services.Render(addon); err != nil { // its config vars could not be put back
		return err
	}
	if err := ats.addons.detachAddon(ctx, at, op.Member, out); err != nil {
		if errors.Is(context.Cause(ctx), daemon.ErrClosing) {
			return daemon.ErrClosing
		}
		ctx = context.WithoutCancel(ctx)
		return errors.Join(err, op.Finish(ctx, func(tx daemon.Tx) error { return ats.recordAttachment(tx, addon, at) }))
	}
	app, err := ats.Apps.App(ctx, at.App)
	if err != nil {
		return err
	}
	data := attachData{App: at.App, Prefix: at.Prefix, Aliases: at.Aliases, Version: app.Current}
	return op.Next(ctx, "disconnect", data, op.Done)
}

// closeWay takes the add-on out of the app's network once the app's last process that
// knows of it is gone, unless it was attached anew meanwhile.
func (ats *Attachments) closeWay(ctx context.Context, op *journal.Operation) error {
	data, err := journal.Decode[attachData](op.Operation)
	if err != nil {
		return err
	}
	return ats.onceRetired(ctx, op, map[string]int{data.App: data.Version}, func(addon daemon.Addon) error {
		if _, err := ats.attachment(ctx, addon.Name, data.App); daemon.IsKind(err, daemon.NotFound) {
			if err := ats.disconnectAddon(ctx, addon, data.App); err != nil {
				return err
			}
		}
		return op.Finish(ctx)
	})
}

// onceRetired waits until no app has a process of a release before its version, then
// calls end with the add-on, locked. One that is gone ends the operation.
func (ats *Attachments) onceRetired(ctx context.Context, op *journal.Operation, versions map[string]int, end func(daemon.Addon) error) error {
	for app, version := range versions {
		if err := ats.awaitRetired(ctx, app, version); err != nil {
			return err
		}
	}
	unlock, err := ats.Journal.LockAddon(ctx, op.Subject, nil)
	if err != nil {
		return err
	}
	defer unlock()
	addon, err := ats.Addon(ctx, op.Subject)
	if daemon.IsKind(err, daemon.NotFound) {
		return op.Finish(ctx)
	}
	if err != nil {
		return err
	}
	return end(addon)
}

// persist runs the end of an operation in the background, and again, with longer and
// longer waits, until it succeeds or the daemon ends. The add-on's apps are told.
func (ats *Attachments) persist(op *journal.Operation, what string, end func(context.Context, *journal.Operation) error) {
	ats.Life.Go(func(ctx context.Context) {
		work.UntilDone(ctx, "the end of an operation",
			func() error { return end(ctx, op) },
			func(err error, again time.Duration) {
				ats.Log.Error(what, "addon", op.Subject, "err", err)
				ats.Say(ctx, op.Subject, "%s failed, and is tried again in %s; see towline addons:logs %s", what, again, op.Subject)
			})
	})
}

// awaitRetired waits until no process of a release before version is left.
func (ats *Attachments) awaitRetired(ctx context.Context, app string, version int) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := ats.Engine.ContainerList(ctx, map[string]string{daemon.LabelApp: app, daemon.LabelKind: daemon.KindProcess})
		if err != nil {
			return err
		}
		old := func(c daemon.Container) bool {
			v, err := strconv.Atoi(c.Labels[daemon.LabelRelease])
			return err == nil && v < version
		}
		if !slices.ContainsFunc(list, old) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// recoverDetach goes on to the end. What runs of releases before is retired later, when
// the apps are started: the way is closed after that, in the background.
func (ats *Attachments) recoverDetach(ctx context.Context, op *journal.Operation) error {
	if op.Step == "release" {
		data, err := journal.Decode[attachData](op.Operation)
		if err != nil {
			return err
		}
		addon, err := ats.Addon(ctx, op.Subject)
		if err != nil {
			return err
		}
		at, err := ats.attachment(ctx, op.Subject, data.App)
		switch {
		case daemon.IsKind(err, daemon.NotFound): // its record is gone already: release without it, again
			at = daemon.AddonAttachment{Addon: addon.Name, App: data.App, Prefix: data.Prefix, Aliases: data.Aliases}
			if at.Vars, err = ats.varNames(addon, at); err != nil {
				return err
			}
		case err != nil:
			return err
		}
		if err := ats.services.StartContainer(ctx, addon, nil); err != nil {
			return err
		}
		if err := ats.releaseWithout(ctx, op, addon, at, nil); err != nil {
			return err
		}
	}
	ats.persist(op, "taking it out of the network of an app", ats.closeWay)
	return nil
}

func (ats *Attachments) varNames(addon daemon.Addon, at daemon.AddonAttachment) (names []string, err error) {
	spec, err := ats.services.Render(addon)
	for _, v := range varsOf(spec, at) {
		names = append(names, v.Name)
	}
	return names, err
}
