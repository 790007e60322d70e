package machine

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"

	"towline/daemon"
	"towline/daemon/container"
	"towline/daemon/journal"
	"towline/daemon/work"
)

// UpgradeRequest asks for another plan or version of an add-on.
type UpgradeRequest struct {
	Addon, Member string
	Plan, Version string // empty: the present one
}

// upgradeData is what reconcile must know of an upgrade that was cut short.
type upgradeData struct {
	Generation int `json:"generation"` // the one to be
}

const opUpgrade = "upgrade"

func (d *Daemon) upgradeKind() journal.Kind {
	return journal.Kind{Name: opUpgrade, Text: "an upgrade", Of: journal.OfAddon,
		Steps: []string{"prepare", "replace", "current"}, Recover: d.unlessGone(d.recoverUpgrade)}
}

// UpgradeAddon moves an add-on to another plan or version: a safety backup, then the
// next generation on a copy of the volumes, while the requests of its apps wait. If it
// does not come up, the generation before does, with all that was ever written to it.
func (d *Daemon) UpgradeAddon(ctx context.Context, req UpgradeRequest, out io.Writer) (daemon.Addon, error) {
	next, err := d.planUpgrade(ctx, req)
	if err != nil {
		return next, err
	}
	spec, err := d.renderAddon(next)
	if err != nil {
		return next, err
	}
	if _, err := d.Engine.EnsureImage(ctx, spec.Image, out); err != nil {
		return next, err
	}
	if _, err := d.Capture(ctx, req.Addon, req.Member, daemon.ReasonSafety, out); err != nil {
		return next, daemon.Errorf(daemon.Failed, "%s was not upgraded, as a backup of it failed: %w", req.Addon, err).WithHint("towline backups %s", req.Addon)
	}
	unlock, err := d.Journal.LockAddon(ctx, req.Addon, out)
	if err != nil {
		return next, err
	}
	defer unlock()
	if next, err = d.planUpgrade(ctx, req); err != nil { // again: it may have changed while waiting
		return next, err
	}
	ctx, cancel := d.Life.Detach(ctx)
	defer cancel()
	op, err := d.Journal.Begin(ctx, opUpgrade, next.Name, req.Member, "prepare", upgradeData{Generation: next.Generation})
	if err != nil {
		return next, err
	}
	goBack := sync.OnceFunc(func() { work.Say(out, " !     Going back to what was before") })
	err = op.Do(ctx, out,
		func(ctx context.Context) error { return d.moveOn(ctx, op, next, out) },
		func(ctx context.Context) error { goBack(); return d.undoUpgrade(ctx, op) })
	if err != nil {
		return next, err
	}
	return next, d.Life.Outlast(ctx, out, func(ctx context.Context) error { return d.endUpgrade(ctx, op, next) })
}

// planUpgrade checks the whole request and returns the add-on as it is to be.
func (d *Daemon) planUpgrade(ctx context.Context, req UpgradeRequest) (daemon.Addon, error) {
	addon, err := d.readyAddon(ctx, req.Addon)
	if err != nil {
		return addon, err
	}
	m, err := d.service(addon.Service)
	if err != nil {
		return addon, err
	}
	next := addon
	next.Generation++
	if req.Plan != "" {
		next.Plan = req.Plan
	}
	if req.Version != "" {
		next.Version = req.Version
	}
	switch {
	case !slices.Contains(m.PlanNames(), next.Plan):
		return addon, daemon.Errorf(daemon.Invalid, "%s has no plan %q", addon.Service, daemon.Clip(next.Plan)).WithHint("there are: %s", strings.Join(m.PlanNames(), ", "))
	case !slices.Contains(m.VersionNames(), next.Version):
		return addon, daemon.Errorf(daemon.Invalid, "%s has no version %q", addon.Service, daemon.Clip(next.Version)).
			WithHint("there are: %s", strings.Join(m.VersionNames(), ", "))
	case next.Plan == addon.Plan && next.Version == addon.Version:
		return addon, daemon.Errorf(daemon.Conflict, "%s has plan %s and version %s already", addon.Name, addon.Plan, addon.Version).
			WithHint("towline addons:plans %s lists what there is", addon.Service)
	case next.Version != addon.Version && !slices.Contains(m.Upgrades[addon.Version], next.Version):
		return addon, daemon.Errorf(daemon.Conflict, "the data of %s %s can't become version %s as it is", addon.Service, addon.Version, next.Version).
			WithHint("create a second add-on of that version, and move the data by the service's own dump")
	}
	return next, nil
}

// moveOn makes the next generation the current one.
func (d *Daemon) moveOn(ctx context.Context, op *journal.Operation, next daemon.Addon, out io.Writer) error {
	addon := next
	addon.Generation--
	spec, err := d.renderAddon(next)
	if err != nil {
		return err
	}
	// An attempt before this one may not have been taken back whole.
	if err := d.removeGeneration(ctx, next); err != nil {
		return err
	}
	work.Stage(out, "Copying the data of %s", next.Name)
	copies := map[string]string{}
	for _, v := range spec.Volumes {
		if err := d.Engine.EnsureVolume(ctx, d.addonVolume(next, v.Name), addonLabels(next.Name)); err != nil {
			return err
		}
		from, ferr := d.Engine.VolumePath(ctx, d.addonVolume(addon, v.Name))
		to, terr := d.Engine.VolumePath(ctx, d.addonVolume(next, v.Name))
		if err := errors.Join(ferr, terr); err != nil {
			return err
		}
		copies[from] = to
	}
	mirror := d.Vault.Mirror(copies)
	if _, err := mirror.Pass(ctx, false); err != nil {
		return err
	}
	if err := op.Next(ctx, "replace", nil); err != nil {
		return err
	}
	work.Stage(out, "Replacing %s; requests of its apps wait", next.Name)
	if err := d.pauseApps(ctx, next.Name); err != nil {
		return err
	}
	if err := d.Engine.StopContainer(ctx, d.addonContainer(addon), container.StopGrace); err != nil {
		return err
	}
	if _, err := mirror.Pass(ctx, true); err != nil {
		return err
	}
	syscall.Sync() // the volumes of before go soon
	if err := d.startAddonContainer(ctx, next, out); err != nil {
		return err
	}
	return op.Next(ctx, "current", nil, func(tx daemon.Tx) error {
		return errors.Join(tx.UpdateAddon(next), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: op.Member,
			Text: "upgraded the add-on " + next.Name + " to version " + next.Version + ", plan " + next.Plan}))
	})
}

// endUpgrade lets the requests go and removes the generation of before.
func (d *Daemon) endUpgrade(ctx context.Context, op *journal.Operation, addon daemon.Addon) error {
	if err := d.resumeApps(ctx, addon.Name); err != nil {
		return err
	}
	old := addon
	old.Generation--
	if err := d.removeGeneration(ctx, old); err != nil {
		return err
	}
	return op.Finish(ctx)
}

// undoUpgrade brings the generation that is current back.
func (d *Daemon) undoUpgrade(ctx context.Context, op *journal.Operation) error {
	addon, err := d.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	data, err := journal.Decode[upgradeData](op.Operation)
	if err != nil {
		return err
	}
	failed := addon
	failed.Generation = data.Generation
	err = errors.Join(d.removeGeneration(ctx, failed), d.startAddonContainer(ctx, addon, nil), d.resumeApps(ctx, addon.Name))
	if daemon.IsAway(err) {
		return err
	}
	return errors.Join(err, op.Finish(ctx))
}

// recoverUpgrade: before the next generation was current the one before comes back.
func (d *Daemon) recoverUpgrade(ctx context.Context, op *journal.Operation) error {
	if op.Step != "current" {
		return d.undoUpgrade(ctx, op)
	}
	addon, err := d.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	if err := d.startAddonContainer(ctx, addon, nil); err != nil {
		return err
	}
	return d.endUpgrade(ctx, op, addon)
}
