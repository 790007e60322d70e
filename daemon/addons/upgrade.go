package addons

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

// A SafetyBackup keeps the data of an add-on that is about to be changed.
type SafetyBackup interface {
	SafetyBackup(ctx context.Context, addon, member string, out io.Writer) error
}

// BackUpBy has upgrades kept safe by s. It is for those who wire, before the first upgrade.
func (ad *Addons) BackUpBy(s SafetyBackup) { ad.safety = s }

// upgradeData is what a recovery must know of an upgrade that was cut short.
type upgradeData struct {
	Generation int `json:"generation"` // the one to be
}

const opUpgrade = "upgrade"

func (ad *Addons) upgradeKind() journal.Kind {
	return journal.Kind{Name: opUpgrade, Text: "an upgrade", Of: journal.OfAddon,
		Steps: []string{"prepare", "replace", "current"}, Recover: ad.unlessGone(ad.recoverUpgrade)}
}

// Upgrade moves an add-on to another plan or version: a safety backup, then the
// next generation on a copy of the volumes, while the requests of its apps wait. If it
// does not come up, the generation before does, with all that was ever written to it.
func (ad *Addons) Upgrade(ctx context.Context, req UpgradeRequest, out io.Writer) (daemon.Addon, error) {
	next, err := ad.planUpgrade(ctx, req)
	if err != nil {
		return next, err
	}
	spec, err := ad.services.Render(next)
	if err != nil {
		return next, err
	}
	if _, err := ad.Engine.EnsureImage(ctx, spec.Image, out); err != nil {
		return next, err
	}
	if err := ad.safety.SafetyBackup(ctx, req.Addon, req.Member, out); err != nil {
		return next, daemon.Errorf(daemon.Failed, "%s was not upgraded, as a backup of it failed: %w", req.Addon, err).WithHint("towline backups %s", req.Addon)
	}
	unlock, err := ad.Journal.LockAddon(ctx, req.Addon, out)
	if err != nil {
		return next, err
	}
	defer unlock()
	if next, err = ad.planUpgrade(ctx, req); err != nil { // again: it may have changed while waiting
		return next, err
	}
	ctx, cancel := ad.Life.Detach(ctx)
	defer cancel()
	event := daemon.Activity{Kind: daemon.AddonUpgraded, Member: req.Member, App: next.App, Subject: next.Name,
		Text: "upgraded the add-on " + next.Name + " to version " + next.Version + ", plan " + next.Plan}
	op, err := ad.Journal.Begin(ctx, opUpgrade, next.Name, event, "prepare", upgradeData{Generation: next.Generation})
	if err != nil {
		return next, err
	}
	goBack := sync.OnceFunc(func() { work.Say(out, " !     Going back to what was before") })
	err = op.Do(ctx, out,
		func(ctx context.Context) error { return ad.moveOn(ctx, op, next, out) },
		func(ctx context.Context) error { goBack(); return ad.undoUpgrade(ctx, op) })
	if err != nil {
		return next, err
	}
	return next, ad.Life.Outlast(ctx, out, func(ctx context.Context) error { return ad.endUpgrade(ctx, op, next) })
}

// planUpgrade checks the whole request and returns the add-on as it is to be.
func (ad *Addons) planUpgrade(ctx context.Context, req UpgradeRequest) (daemon.Addon, error) {
	addon, err := ad.readyAddon(ctx, req.Addon)
	if err != nil {
		return addon, err
	}
	m, err := ad.Service(addon.Service)
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
func (ad *Addons) moveOn(ctx context.Context, op *journal.Operation, next daemon.Addon, out io.Writer) error {
	addon := next
	addon.Generation--
	spec, err := ad.services.Render(next)
	if err != nil {
		return err
	}
	// An attempt before this one may not have been taken back whole.
	if err := ad.services.RemoveGeneration(ctx, next); err != nil {
		return err
	}
	work.Stage(out, "Copying the data of %s", next.Name)
	copies := map[string]string{}
	for _, v := range spec.Volumes {
		if err := ad.Engine.EnsureVolume(ctx, ad.services.VolumeName(next, v.Name), AddonLabels(next.Name)); err != nil {
			return err
		}
		from, ferr := ad.Engine.VolumePath(ctx, ad.services.VolumeName(addon, v.Name))
		to, terr := ad.Engine.VolumePath(ctx, ad.services.VolumeName(next, v.Name))
		if err := errors.Join(ferr, terr); err != nil {
			return err
		}
		copies[from] = to
	}
	mirror := ad.Vault.Mirror(copies)
	if _, err := mirror.Pass(ctx, false); err != nil {
		return err
	}
	if err := op.Next(ctx, "replace", nil); err != nil {
		return err
	}
	work.Stage(out, "Replacing %s; requests of its apps wait", next.Name)
	if err := ad.services.PauseApps(ctx, next.Name); err != nil {
		return err
	}
	if err := ad.Engine.StopContainer(ctx, ad.services.ContainerName(addon), container.StopGrace); err != nil {
		return err
	}
	if _, err := mirror.Pass(ctx, true); err != nil {
		return err
	}
	syscall.Sync() // the volumes of before go soon
	if err := ad.services.StartContainer(ctx, next, out); err != nil {
		return err
	}
	return op.Next(ctx, "current", nil, func(tx daemon.Tx) error {
		return errors.Join(tx.UpdateAddon(next), op.Done(tx))
	})
}

// endUpgrade lets the requests go and removes the generation of before.
func (ad *Addons) endUpgrade(ctx context.Context, op *journal.Operation, addon daemon.Addon) error {
	if err := ad.services.ResumeApps(ctx, addon.Name); err != nil {
		return err
	}
	old := addon
	old.Generation--
	if err := ad.services.RemoveGeneration(ctx, old); err != nil {
		return err
	}
	return op.Finish(ctx)
}

// undoUpgrade brings the generation that is current back.
func (ad *Addons) undoUpgrade(ctx context.Context, op *journal.Operation) error {
	addon, err := ad.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	data, err := journal.Decode[upgradeData](op.Operation)
	if err != nil {
		return err
	}
	failed := addon
	failed.Generation = data.Generation
	err = errors.Join(ad.services.RemoveGeneration(ctx, failed), ad.services.StartContainer(ctx, addon, nil), ad.services.ResumeApps(ctx, addon.Name))
	if daemon.IsAway(err) {
		return err
	}
	return errors.Join(err, op.Finish(ctx))
}

// recoverUpgrade: before the next generation was current the one before comes back.
func (ad *Addons) recoverUpgrade(ctx context.Context, op *journal.Operation) error {
	if op.Step != "current" {
		return ad.undoUpgrade(ctx, op)
	}
	addon, err := ad.Addon(ctx, op.Subject)
	if err != nil {
		return err
	}
	if err := ad.services.StartContainer(ctx, addon, nil); err != nil {
		return err
	}
	return ad.endUpgrade(ctx, op, addon)
}
