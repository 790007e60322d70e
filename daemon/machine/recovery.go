package machine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/journal"
)

// This file carries out, at the daemon's start, what recover says of each operation that
// was cut short, so that no app and no add-on keeps the others from their start: each
// one's operations are recovered apart, under its locks, and Reconcile waits for them no
// longer than recoverPatience. What takes longer goes on in the background.

// recoverPatience is how long Reconcile waits. As a rule a recovery takes a moment; one
// that stores or proves data takes longer, and one that has a release phase to run may
// take as long as that wants.
const recoverPatience = time.Minute

// recoveries are those of one start.
type recoveries struct {
	groups []*recoveryGroup
}

// recoveryGroup are operations that touch the same apps and add-ons, in their order.
type recoveryGroup struct {
	ops      []daemon.Operation
	subjects map[string]bool // "app:shop", "addon:redis-shop": all that they touch
	done     chan struct{}   // closed once all were tried
}

// recoverAll recovers every operation of the journal.
func (d *Machine) recoverAll(ctx context.Context) (*recoveries, error) {
	ops, err := daemon.Read(ctx, d.Store, daemon.Tx.Operations)
	if err != nil {
		return nil, err
	}
	// What comes before all others has just been tried, in recoverFirst.
	ops = slices.DeleteFunc(ops, func(op daemon.Operation) bool { return d.Journal.Kind(op.Kind).When == journal.RecoveredBefore })
	slices.SortStableFunc(ops, func(a, b daemon.Operation) int {
		return cmp.Compare(d.Journal.Kind(a.Kind).When, d.Journal.Kind(b.Kind).When)
	})
	r := &recoveries{}
	for _, op := range ops {
		subjects, err := d.touches(ctx, op)
		if err != nil {
			return nil, err
		}
		r.add(op, subjects)
	}
	// Those that the daemon died of come one by one, when the others are through: if it
	// dies again, it is known of which.
	var later []*recoveryGroup
	for _, g := range r.groups {
		if slices.ContainsFunc(g.ops, func(op daemon.Operation) bool { return d.attempts.suspect(attemptOf(op)) }) {
			later = append(later, g)
			continue
		}
		d.Life.Go(func(ctx context.Context) { d.recoverGroup(ctx, g) })
	}
	timeout := time.NewTimer(d.recoverPatience)
	defer timeout.Stop()
	if err := r.wait(ctx, timeout.C, later); err != nil {
		return r, err
	}
	for _, g := range later {
		d.Life.Go(func(ctx context.Context) { d.recoverGroup(ctx, g) })
		if err := r.wait(ctx, timeout.C, slices.DeleteFunc(slices.Clone(later), func(o *recoveryGroup) bool { return o == g })); err != nil {
			return r, err
		}
	}
	for subject := range r.busy() {
		d.Log.Warn("what was cut short takes long; going on without it", "subject", subject)
	}
	return r, nil
}

// wait returns once all groups but those are done, or the time is over.
func (r *recoveries) wait(ctx context.Context, timeout <-chan time.Time, but []*recoveryGroup) error {
	for _, g := range r.groups {
		if slices.Contains(but, g) {
			continue
		}
		select {
		case <-g.done:
		case <-timeout:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// add puts an operation to those with which it has a subject in common.
func (r *recoveries) add(op daemon.Operation, subjects []string) {
	whole := &recoveryGroup{subjects: map[string]bool{}, done: make(chan struct{})}
	var rest []*recoveryGroup
	for _, g := range r.groups {
		if slices.ContainsFunc(subjects, func(s string) bool { return g.subjects[s] }) {
			whole.ops = append(whole.ops, g.ops...)
			for s := range g.subjects {
				whole.subjects[s] = true
			}
		} else {
			rest = append(rest, g)
		}
	}
	whole.ops = append(whole.ops, op)
	for _, s := range subjects {
		whole.subjects[s] = true
	}
	r.groups = append(rest, whole)
}

// busy are the subjects of recoveries that still go on.
func (r *recoveries) busy() map[string]<-chan struct{} {
	busy := map[string]<-chan struct{}{}
	for _, g := range r.groups {
		select {
		case <-g.done:
		default:
			for s := range g.subjects {
				busy[s] = g.done
			}
		}
	}
	return busy
}

// recoverGroup recovers a group's operations, one after the other. Their subjects are
// locked from before the first to after the last that needs them.
func (d *Machine) recoverGroup(ctx context.Context, g *recoveryGroup) {
	defer close(g.done)
	left := map[string]int{} // lock -> operations that need it
	for _, op := range g.ops {
		for _, name := range d.recoveryLocks(op, g) {
			left[name]++
		}
	}
	unlocks := map[string]func(){}
	defer func() {
		for _, unlock := range unlocks {
			unlock()
		}
	}()
	for _, name := range daemon.SortedKeys(left) {
		unlock, err := d.Locks.Lock(ctx, name, nil)
		if err != nil {
			return // the next start does it
		}
		unlocks[name] = unlock
	}
	for _, op := range g.ops {
		if ctx.Err() != nil {
			return
		}
		d.recoverOne(ctx, op)
		for _, name := range d.recoveryLocks(op, g) {
			if left[name]--; left[name] == 0 {
				unlocks[name]()
				delete(unlocks, name)
			}
		}
	}
}

// recoverOne recovers an operation, unless that is done already, or has taken the daemon
// down twice.
func (d *Machine) recoverOne(ctx context.Context, op daemon.Operation) {
	ops, err := daemon.Read(ctx, d.Store, daemon.Tx.Operations)
	if err == nil && !slices.ContainsFunc(ops, func(o daemon.Operation) bool { return o.ID == op.ID }) {
		return
	}
	ended, ok := d.attempts.begin(attemptOf(op))
	if !ok {
		d.Log.Error("towlined went down twice as it finished or undid this; it goes on without", "kind", op.Kind, "subject", op.Subject, "step", op.Step)
		return
	}
	defer ended()
	d.Log.Info("finishing or undoing what was cut short", "kind", op.Kind, "subject", op.Subject, "step", op.Step)
	err = daemon.Try("a recovery", func() error { return d.recover(ctx, d.Journal.Resume(op)) })
	if err != nil {
		d.Log.Error("recover", "kind", op.Kind, "subject", op.Subject, "step", op.Step, "err", err)
	}
}

// touches are all apps and add-ons that an operation has to do with.
func (d *Machine) touches(ctx context.Context, op daemon.Operation) (subjects []string, err error) {
	if d.Journal.IsOf(op, journal.OfApp) {
		subjects = append(subjects, "app:"+op.Subject)
	} else {
		subjects = append(subjects, "addon:"+op.Subject)
		apps, err := d.Addons.AttachedApps(ctx, op.Subject)
		if err != nil {
			return nil, err
		}
		for _, app := range append(apps, journal.AppsOf(op)...) {
			subjects = append(subjects, "app:"+app)
		}
	}
	if others := d.Journal.Kind(op.Kind).Addons; others != nil {
		for _, addon := range others(op) {
			subjects = append(subjects, "addon:"+addon)
		}
	}
	return subjects, nil
}

// recoveryLocks are the locks that an operation's recovery needs and does not take by
// itself. A rollback's restores take those of the add-ons.
func (d *Machine) recoveryLocks(op daemon.Operation, g *recoveryGroup) (names []string) {
	if d.Journal.IsOf(op, journal.OfApp) {
		return []string{"app:" + op.Subject}
	}
	names = append(names, "addon:"+op.Subject)
	if d.Journal.Kind(op.Kind).Releases {
		for s := range g.subjects {
			if strings.HasPrefix(s, "app:") {
				names = append(names, s)
			}
		}
	}
	return names
}
