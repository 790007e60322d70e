package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/journal"
)

// Reconcile makes the world agree with the state: at start, before anything else. It
// reads the journal and finishes or undoes what a crash cut short, removes what
// belongs to nothing, and starts what should run: add-ons first, then apps. What
// fails for one app is logged and does not hold up another: see recovery.go, start.go and
// attempts.go.
func (d *Machine) Reconcile(ctx context.Context) error {
	if _, err := d.Engine.Ping(ctx); err != nil {
		return err
	}
	if err := d.LearnHandles(ctx); err != nil {
		return err
	}
	d.Ballast.Set()
	if err := d.People.SyncKeys(ctx); err != nil {
		return err
	}
	if err := d.Plugins.CompleteSecrets(ctx); err != nil {
		return err
	}
	d.attempts.open(d.Dir)
	if err := daemon.Try("a recovery", func() error { return d.recoverFirst(ctx) }); err != nil {
		d.Log.Error("recover what comes before all else; the next start tries again", "err", err)
	}
	if err := os.RemoveAll(filepath.Join(d.Dir, "work")); err != nil {
		d.Log.Error("remove working directories", "err", err)
	}
	r, err := d.recoverAll(ctx)
	if err != nil {
		return err
	}
	if err := d.removeOrphans(ctx, r.busy()); daemon.IsAway(err) {
		return err
	} else if err != nil {
		d.Log.Error("remove what belongs to nothing; the next start tries again", "err", err)
	}
	return d.startAll(ctx, r.busy())
}

// recoverFirst recovers the operations that come before all others are looked at.
func (d *Machine) recoverFirst(ctx context.Context) error {
	ops, err := daemon.Read(ctx, d.Store, daemon.Tx.Operations)
	if err != nil {
		return err
	}
	for _, op := range ops {
		if d.Journal.Kind(op.Kind).When == journal.RecoveredBefore {
			d.Log.Info("finishing or undoing what was cut short", "kind", op.Kind, "subject", op.Subject, "step", op.Step)
			err = errors.Join(err, d.recover(ctx, d.Journal.Resume(op)))
		}
	}
	return err
}

// recover brings one operation to its one allowed outcome.
func (d *Machine) recover(ctx context.Context, op *journal.Operation) error {
	k := d.Journal.Kind(op.Kind)
	if k.Recover == nil { // of a newer version of Towline, maybe: that knows what to do
		return fmt.Errorf("operation %d is of a kind that this version does not know, %q; it is left in the journal", op.ID, op.Kind)
	}
	return k.Recover(ctx, op)
}

// removeOrphans removes this installation's containers, networks, volumes and routes
// that belong to no app and no add-on. Those of busy ones, which are being recovered, stay.
func (d *Machine) removeOrphans(ctx context.Context, busy map[string]<-chan struct{}) error {
	apps, services, pages := map[string]bool{}, map[string]bool{}, map[string]bool{}
	err := d.Store.View(ctx, func(tx daemon.Tx) error {
		as, err := tx.Apps()
		if err != nil {
			return err
		}
		for _, a := range as {
			apps[a.Name] = true
		}
		ads, err := tx.Addons()
		for _, a := range ads {
			services[a.Name] = true
		}
		openings, oerr := tx.Openings()
		for _, o := range openings {
			pages[addons.PageName(o.Addon)] = true
		}
		return errors.Join(err, oerr)
	})
	if err != nil {
		return err
	}
	orphan := func(labels map[string]string) bool {
		app, addon, test := labels[daemon.LabelApp], labels[daemon.LabelAddon], labels[daemon.LabelTest]
		if busy["app:"+app] != nil || busy["addon:"+addon] != nil {
			return false
		}
		return app != "" && !apps[app] || addon != "" && !services[addon] || labels[daemon.LabelKind] == daemon.KindProof ||
			labels[daemon.LabelKind] == daemon.KindRelease || labels[daemon.LabelKind] == daemon.KindRun || test != ""
	}
	err = d.Containers.RemoveWhere(ctx, nil, func(c daemon.Container) bool { return orphan(c.Labels) })
	networks, nerr := d.Engine.Networks(ctx)
	for _, n := range networks {
		if orphan(n.Labels) {
			nerr = errors.Join(nerr, d.Engine.RemoveNetwork(ctx, n.Name))
		}
	}
	volumes, verr := d.Engine.Volumes(ctx)
	for _, v := range volumes {
		if orphan(v.Labels) {
			verr = errors.Join(verr, d.Engine.RemoveVolume(ctx, v.Name))
		}
	}
	routes, rerr := d.Router.Routes(ctx)
	for _, r := range routes {
		if !apps[r.App] && !pages[r.App] && busy["app:"+r.App] == nil {
			rerr = errors.Join(rerr, d.Router.Remove(ctx, r.App))
		}
	}
	return errors.Join(err, nerr, verr, rerr)
}
