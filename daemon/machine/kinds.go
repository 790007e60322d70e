package machine

import (
	"context"
	"slices"

	"towline/daemon"
)

// opKind is a kind of operation: what begins and recovers it, in one value that stands beside
// the code that begins it. Its name is in the journal of installations: it does not change.
type opKind struct {
	name string
	text string // as users know it: "a deploy"
	of   subjectKind

	// steps in order. A step is recorded before what it names is done, so a daemon that
	// dies leaves the last step either not begun, cut short, or done.
	steps []string

	ends       bool   // it ends its subject: while it is in the journal, nothing else begins there
	shared     bool   // it does not hold its subject's lock
	background string // the step from which the lock is needed no longer, as a rule: what is old ends in the background
	releases   bool   // its recovery releases the apps, and holds their locks too
	// when it is recovered: before all others are looked at, among them, or after those that
	// it is made of.
	when recoveryOrder
	// addons are those that it has to do with beside its subject; may be nil.
	addons func(daemon.Operation) []string

	// recover brings one that was cut short to its one allowed outcome. It may be cut short
	// too, and is then done again.
	recover func(context.Context, *operation) error
}

// subjectKind is what an operation is done to.
type subjectKind int

const (
	ofAddon  subjectKind = iota // means nothing without it, and ends with it
	ofApp                       // likewise
	ofBackup                    // its subject is an add-on that it may outlive
	ofCheck                     // its subject is an app that a check of a plugin makes for itself
)

type recoveryOrder int

const (
	recoveredAmong recoveryOrder = iota
	recoveredBefore
	recoveredAfter
)

// allKinds are all kinds of operation: begin takes no other.
func (d *Daemon) allKinds() []opKind {
	return []opKind{
		d.deployKind(), d.releaseKind(), d.rollKind(), d.destroyKind(), d.runKind(),
		d.provisionKind(), d.deprovisionKind(), d.attachKind(), d.detachKind(), d.bounceKind(), d.rotateKind(), d.upgradeKind(),
		d.backupKind(), d.backupDeleteKind(), d.restoreKind(), d.rollbackKind(),
		d.conformKind(),
	}
}

func kindsByName(all []opKind) map[string]opKind {
	kinds := map[string]opKind{}
	for _, k := range all {
		kinds[k.name] = k
	}
	return kinds
}

func (k opKind) has(step string) bool { return slices.Contains(k.steps, step) }

// lingers tells whether an operation is past what the lock is needed for, as a rule.
func (k opKind) lingers(op daemon.Operation) bool {
	return k.background != "" && op.Step == k.background
}

// unlessGone is a recovery that has nothing to do once the add-on is gone.
func (d *Daemon) unlessGone(recover func(context.Context, *operation) error) func(context.Context, *operation) error {
	return func(ctx context.Context, op *operation) error {
		if _, err := d.Addon(ctx, op.Subject); daemon.IsKind(err, daemon.NotFound) {
			return op.finish(ctx)
		}
		return recover(ctx, op)
	}
}
