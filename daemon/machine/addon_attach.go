package machine

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
	"towline/plugins"
)

// AttachRequest asks that an app use an add-on that is there already.
type AttachRequest struct {
	Addon, App, Member string
	Prefix             string // of the config vars; empty: the manifest's own names
}

// attachData is what reconcile must know of an attach or a detach that was cut short.
type attachData struct {
	App     string `json:"app"`
	Prefix  string `json:"prefix,omitempty"`
	Version int    `json:"version,omitempty"` // of the first release without the add-on
}

const opAttach = "attach"

func (d *Daemon) attachKind() journal.Kind {
	return journal.Kind{Name: opAttach, Text: "the attachment", Of: journal.OfAddon, Releases: true,
		Steps: []string{"connect", "release"}, Recover: d.unlessGone(d.recoverAttach)}
}

// Attach joins a running add-on to an app's network, then releases the app with its
// config vars. If the app does not start with them, nothing of it stays.
func (d *Daemon) Attach(ctx context.Context, req AttachRequest, out io.Writer) (daemon.AddonAttachment, error) {
	unlock, err := d.Journal.LockApp(ctx, req.App, out)
	if err != nil {
		return daemon.AddonAttachment{}, err
	}
	defer unlock()
	unlockAddon, err := d.Journal.LockAddon(ctx, req.Addon, out)
	if err != nil {
		return daemon.AddonAttachment{}, err
	}
	defer unlockAddon()
	addon, at, vars, err := d.planAttach(ctx, req)
	if err != nil {
		return at, err
	}
	ctx, cancel := d.Life.Detach(ctx)
	defer cancel()
	work.Stage(out, "Attaching %s to %s", addon.Name, at.App)
	op, err := d.Journal.Begin(ctx, opAttach, addon.Name, req.Member, "connect", attachData{App: at.App, Prefix: at.Prefix})
	if err != nil {
		return at, err
	}
	err = op.Do(ctx, out, func(ctx context.Context) error {
		if err := d.connectAddon(ctx, addon, at.App); err != nil {
			return err
		}
		err := op.Next(ctx, "release", nil, func(tx daemon.Tx) error {
			return errors.Join(recordAttachment(tx, at, vars),
				tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: req.Member, App: at.App, Text: "attached the add-on " + addon.Name}))
		})
		if err != nil {
			return err
		}
		return d.releaseAttached(ctx, op, at.App, "Attach "+addon.Name, out)
	}, func(ctx context.Context) error { return d.undoAttach(ctx, op, addon, at.App) })
	if err != nil {
		return at, err
	}
	return at, op.Finish(ctx)
}

// planAttach checks the whole request.
func (d *Daemon) planAttach(ctx context.Context, req AttachRequest) (addon daemon.Addon, at daemon.AddonAttachment, vars []plugins.Var, err error) {
	app, err := d.App(ctx, req.App)
	if err != nil {
		return addon, at, nil, err
	}
	if addon, err = d.readyAddon(ctx, req.Addon); err != nil {
		return addon, at, nil, err
	}
	attached, err := d.attachments(ctx, addon.Name)
	if err != nil {
		return addon, at, nil, err
	}
	if slices.ContainsFunc(attached, func(at daemon.AddonAttachment) bool { return at.App == app.Name }) {
		return addon, at, nil, daemon.Errorf(daemon.Exists, "%s is attached to %s already", addon.Name, app.Name).WithHint("towline addons:info %s", addon.Name)
	}
	at = daemon.AddonAttachment{Addon: addon.Name, App: app.Name, Prefix: strings.ToUpper(req.Prefix)}
	if at.Prefix != "" {
		if err := daemon.CheckConfigKey(at.Prefix); err != nil {
			return addon, at, nil, daemon.Errorf(daemon.Invalid, "%q can't begin config vars", daemon.Clip(req.Prefix)).WithHint("use letters, digits and underscores, like CACHE")
		}
	}
	spec, err := d.renderAddon(addon)
	if err != nil {
		return addon, at, nil, err
	}
	vars = spec.Vars(at.Prefix)
	for _, v := range vars {
		at.Vars = append(at.Vars, v.Name)
		if _, taken := app.Config[v.Name]; taken {
			return addon, at, nil, d.varTaken(ctx, app.Name, v.Name)
		}
	}
	return addon, at, vars, nil
}

// readyAddon returns an add-on that can be worked with.
func (d *Daemon) readyAddon(ctx context.Context, name string) (daemon.Addon, error) {
	addon, err := d.Addon(ctx, name)
	if err == nil && addon.Status != daemon.AddonReady {
		err = daemon.Errorf(daemon.Conflict, "%s is %s", name, addon.Status).WithHint("towline addons:info %s", name)
	}
	return addon, err
}

// recordAttachment records that an app uses an add-on, with the config vars that say
// where it is.
func recordAttachment(tx daemon.Tx, at daemon.AddonAttachment, vars []plugins.Var) error {
	return errors.Join(tx.InsertAttachment(at), setVars(tx, at.App, vars))
}

func setVars(tx daemon.Tx, name string, vars []plugins.Var) error {
	app, err := tx.App(name)
	if err != nil {
		return err
	}
	app.Config = maps.Clone(app.Config)
	if app.Config == nil {
		app.Config = map[string]string{}
	}
	for _, v := range vars {
		app.Config[v.Name] = v.Value
	}
	return tx.UpdateApp(app)
}

// forgetAttachment undoes recordAttachment. Its absence is no error.
func forgetAttachment(tx daemon.Tx, at daemon.AddonAttachment) error {
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

func (d *Daemon) connectAddon(ctx context.Context, a daemon.Addon, app string) error {
	if err := d.Engine.EnsureNetwork(ctx, d.Containers.NetworkName(app), map[string]string{daemon.LabelApp: app}); err != nil {
		return err
	}
	return d.Engine.Connect(ctx, d.Containers.NetworkName(app), d.addonContainer(a), []string{a.Name})
}

func (d *Daemon) disconnectAddon(ctx context.Context, a daemon.Addon, app string) error {
	err := d.Engine.Disconnect(ctx, d.Containers.NetworkName(app), d.addonContainer(a))
	if daemon.IsKind(err, daemon.NotFound) {
		return nil
	}
	return err
}

// releaseAttached releases an app with the config vars that are stored.
func (d *Daemon) releaseAttached(ctx context.Context, op *journal.Operation, app, description string, out io.Writer) error {
	_, err := d.changeLocked(ctx, app, op.Member, out, func(_ daemon.Tx, rel *daemon.Release) error {
		rel.Description = description
		return nil
	})
	if err != nil && !errors.Is(context.Cause(ctx), daemon.ErrClosing) {
		return daemon.Errorf(daemon.Failed, "%s did not start: %w", app, err).
			WithHint("the release that served before serves on, with the config vars of before; see towline logs -a %s", app)
	}
	return err
}

func (d *Daemon) undoAttach(ctx context.Context, op *journal.Operation, addon daemon.Addon, app string) error {
	attached, err := d.attachments(ctx, addon.Name)
	if err != nil {
		return err
	}
	if err = d.disconnectAddon(ctx, addon, app); daemon.IsAway(err) {
		return err
	}
	return errors.Join(err, op.Finish(ctx, func(tx daemon.Tx) error {
		for _, at := range attached {
			if at.App == app {
				return forgetAttachment(tx, at)
			}
		}
		return nil
	}))
}

func (d *Daemon) attachment(ctx context.Context, addon, app string) (daemon.AddonAttachment, error) {
	attached, err := d.attachments(ctx, addon)
	if err != nil {
		return daemon.AddonAttachment{}, err
	}
	for _, at := range attached {
		if at.App == app {
			return at, nil
		}
	}
	return daemon.AddonAttachment{}, daemon.Errorf(daemon.NotFound, "%s is not attached to %s", addon, app).WithHint("towline addons:info %s", addon)
}

// recoverAttach: before the attachment was recorded nothing of it stays; after that
// the app gets its vars, if it starts with them.
func (d *Daemon) recoverAttach(ctx context.Context, op *journal.Operation) error {
	data, err := journal.Decode[attachData](op.Operation)
	if err != nil {
		return err
	}
	addon, err := d.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	if op.Step == "connect" {
		return d.undoAttach(ctx, op, addon, data.App)
	}
	if err := d.startAddonContainer(ctx, addon, nil); err != nil {
		return err
	}
	if err := d.releaseAttached(ctx, op, data.App, "Attach "+addon.Name, nil); err != nil {
		return errors.Join(err, d.undoAttach(ctx, op, addon, data.App))
	}
	return op.Finish(ctx)
}
