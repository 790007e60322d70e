package addons

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
)

// AttachRequest asks that an app use an add-on that is there already. With aliases it may be one
// that the app uses already.
type AttachRequest struct {
	Addon, App, Member string
	Prefix             string            // of the config vars; empty: the manifest's own names
	Aliases            map[string]string // second names, with what they stand for
}

// attachData is what a recovery must know of an attach or a detach that was cut short.
type attachData struct {
	App     string                  `json:"app"`
	Prefix  string                  `json:"prefix,omitempty"`
	Aliases map[string]string       `json:"aliases,omitempty"`
	Before  *daemon.AddonAttachment `json:"before,omitempty"`  // the attachment that gets aliases
	Version int                     `json:"version,omitempty"` // of the first release without the add-on
}

const opAttach = "attach"

func (ats *Attachments) attachKind() journal.Kind {
	return journal.Kind{Name: opAttach, Text: "the attachment", Of: journal.OfAddon, Releases: true,
		Steps: []string{"connect", "release"}, Recover: ats.unlessGone(ats.recoverAttach)}
}

// Attach joins a running add-on to an app's network, then releases the app with its
// config vars. If the app does not start with them, nothing of it stays.
func (ats *Attachments) Attach(ctx context.Context, req AttachRequest, out io.Writer) (daemon.AddonAttachment, error) {
	unlock, err := ats.Journal.LockApp(ctx, req.App, out)
	if err != nil {
		return daemon.AddonAttachment{}, err
	}
	defer unlock()
	unlockAddon, err := ats.Journal.LockAddon(ctx, req.Addon, out)
	if err != nil {
		return daemon.AddonAttachment{}, err
	}
	defer unlockAddon()
	addon, at, before, err := ats.planAttach(ctx, req)
	if err != nil {
		return at, err
	}
	did := "attached the add-on " + addon.Name
	if before != nil {
		did = "gave aliases to the add-on " + addon.Name
	}
	ctx, cancel := ats.Life.Detach(ctx)
	defer cancel()
	work.Stage(out, "Attaching %s to %s", addon.Name, at.App)
	event := daemon.Activity{Kind: daemon.AddonAttached, Member: req.Member, App: at.App, Subject: addon.Name, Names: at.Vars, Text: did}
	if before == nil {
		event.Undo = "addons:detach " + addon.Name
	}
	op, err := ats.Journal.Begin(ctx, opAttach, addon.Name, event, "connect", attachData{App: at.App, Prefix: at.Prefix, Aliases: at.Aliases, Before: before})
	if err != nil {
		return at, err
	}
	err = op.Do(ctx, out, func(ctx context.Context) error {
		if before == nil {
			if err := ats.connectAddon(ctx, addon, at.App); err != nil {
				return err
			}
		}
		err := op.Next(ctx, "release", nil, func(tx daemon.Tx) error {
			if before != nil {
				if err := ForgetAttachment(tx, *before); err != nil {
					return err
				}
			}
			return ats.recordAttachment(tx, addon, at)
		})
		if err != nil {
			return err
		}
		return ats.releaseAttached(ctx, op, at.App, "Attach "+addon.Name, out)
	}, func(ctx context.Context) error { return ats.undoAttach(ctx, op, addon, at.App, before) })
	if err != nil {
		return at, err
	}
	return at, op.Finish(ctx, op.Done)
}

// planAttach checks the whole request. before is the attachment that there is already.
func (ats *Attachments) planAttach(ctx context.Context, req AttachRequest) (addon daemon.Addon, at daemon.AddonAttachment, before *daemon.AddonAttachment, err error) {
	app, err := ats.Apps.App(ctx, req.App)
	if err != nil {
		return addon, at, nil, err
	}
	if addon, err = ats.readyAddon(ctx, req.Addon); err != nil {
		return addon, at, nil, err
	}
	at = daemon.AddonAttachment{Addon: addon.Name, App: app.Name, Prefix: req.Prefix, Aliases: req.Aliases}
	switch has, err := ats.attachment(ctx, addon.Name, app.Name); {
	case err == nil && (len(req.Aliases) == 0 || req.Prefix != ""):
		return addon, at, nil, daemon.Errorf(daemon.Exists, "%s is attached to %s already", addon.Name, app.Name).
			WithHint("towline addons:info %s; --alias alone gives it aliases", addon.Name)
	case err == nil:
		before, at = &has, has
		at.Aliases = maps.Clone(has.Aliases)
		if at.Aliases == nil {
			at.Aliases = map[string]string{}
		}
		maps.Copy(at.Aliases, req.Aliases)
	case !daemon.IsKind(err, daemon.NotFound):
		return addon, at, nil, err
	}
	spec, err := ats.services.Render(addon)
	if err != nil {
		return addon, at, nil, err
	}
	at, err = ats.planVars(ctx, app, spec, at)
	return addon, at, before, err
}

// recordAttachment records that an app uses an add-on, with the config vars that say
// where it is.
func (b *base) recordAttachment(tx daemon.Tx, addon daemon.Addon, at daemon.AddonAttachment) error {
	spec, err := b.services.Render(addon)
	if err != nil {
		return err
	}
	return errors.Join(tx.InsertAttachment(at), setVars(tx, at.App, varsOf(spec, at)))
}

// ForgetAttachment undoes recordAttachment. Its absence is no error.
func ForgetAttachment(tx daemon.Tx, at daemon.AddonAttachment) error {
	app, err := tx.App(at.App)
	if err != nil {
		return err
	}
	app.Config = maps.Clone(app.Config)
	for _, v := range at.Vars {
		delete(app.Config, v)
	}
	if err := tx.DeleteAttachment(at.Addon, at.App); err != nil && !daemon.IsKind(err, daemon.NotFound) {
		return err
	}
	return tx.UpdateApp(app)
}

func (ats *Attachments) connectAddon(ctx context.Context, a daemon.Addon, app string) error {
	if err := ats.Engine.EnsureNetwork(ctx, ats.Containers.NetworkName(app), map[string]string{daemon.LabelApp: app}); err != nil {
		return err
	}
	return ats.Engine.Connect(ctx, ats.Containers.NetworkName(app), ats.services.ContainerName(a), []string{a.Name})
}

func (ats *Attachments) disconnectAddon(ctx context.Context, a daemon.Addon, app string) error {
	err := ats.Engine.Disconnect(ctx, ats.Containers.NetworkName(app), ats.services.ContainerName(a))
	if daemon.IsKind(err, daemon.NotFound) {
		return nil
	}
	return err
}

// releaseAttached releases an app with the config vars that are stored.
func (ats *Attachments) releaseAttached(ctx context.Context, op *journal.Operation, app, description string, out io.Writer) error {
	_, err := ats.Releases.ChangeLocked(ctx, app, op.Member, out, func(_ daemon.Tx, rel *daemon.Release) error {
		rel.Description = description
		return nil
	})
	if err != nil && !errors.Is(context.Cause(ctx), daemon.ErrClosing) {
		return daemon.Errorf(daemon.Failed, "%s did not start: %w", app, err).
			WithHint("the release that served before serves on, with the config vars of before; see towline logs -a %s", app)
	}
	return err
}

// undoAttach leaves nothing of an attach, or the attachment that there was before.
func (ats *Attachments) undoAttach(ctx context.Context, op *journal.Operation, addon daemon.Addon, app string, before *daemon.AddonAttachment) error {
	attached, err := ats.Attachments(ctx, addon.Name)
	if err != nil {
		return err
	}
	if before == nil {
		if err = ats.disconnectAddon(ctx, addon, app); daemon.IsAway(err) {
			return err
		}
	}
	return errors.Join(err, op.Finish(ctx, func(tx daemon.Tx) error {
		for _, at := range attached {
			if at.App != app {
				continue
			}
			if err := ForgetAttachment(tx, at); err != nil {
				return err
			}
		}
		if before != nil {
			return ats.recordAttachment(tx, addon, *before)
		}
		return nil
	}))
}

// recoverAttach: before the attachment was recorded nothing of it stays; after that
// the app gets its vars, if it starts with them.
func (ats *Attachments) recoverAttach(ctx context.Context, op *journal.Operation) error {
	data, err := journal.Decode[attachData](op.Operation)
	if err != nil {
		return err
	}
	addon, err := ats.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	if op.Step == "connect" {
		return ats.undoAttach(ctx, op, addon, data.App, data.Before)
	}
	if err := ats.services.StartContainer(ctx, addon, nil); err != nil {
		return err
	}
	if err := ats.releaseAttached(ctx, op, data.App, "Attach "+addon.Name, nil); err != nil {
		return errors.Join(err, ats.undoAttach(ctx, op, addon, data.App, data.Before))
	}
	return op.Finish(ctx, op.Done)
}

// lockAttached locks the apps that an add-on is attached to, in order of their names, then
// the add-on: with that, no other app can be attached to it.
func (ats *Attachments) lockAttached(ctx context.Context, name string, out io.Writer) (unlock func(), _ error) {
	for {
		apps, err := ats.AttachedApps(ctx, name)
		if err != nil {
			return nil, err
		}
		slices.Sort(apps)
		unlock, err := ats.Journal.LockAll(ctx, apps, name, out)
		if err != nil {
			return nil, err
		}
		now, err := ats.AttachedApps(ctx, name)
		slices.Sort(now)
		if err == nil && slices.Equal(apps, now) {
			return unlock, nil
		}
		unlock()
		if err != nil {
			return nil, err
		}
	}
}
