package journal

import (
	"context"
	"slices"

	"towline/daemon"
)

// Kind is a kind of operation: what begins and recovers it, in one value that stands beside
// the code that begins it. Its name is in the journals of
// installations: one that changes leaves the old one in Formerly.
type Kind struct {
	Name string
	Text string // as users know it: "a deploy"
	// Formerly is a name that earlier versions have left in journals; empty: none.
	Formerly string
	Of       SubjectKind

	// Steps in order. A step is recorded before what it names is done, so a daemon that
	// dies leaves the last step either not begun, cut short, or done.
	Steps []string

	Ends       bool   // it ends its subject: while it is in the journal, nothing else begins there
	Shared     bool   // it does not hold its subject's lock
	Background string // the step from which the lock is needed no longer, as a rule: what is old ends in the background
	Releases   bool   // its recovery releases the apps, and holds their locks too
	// When it is recovered: before all others are looked at, among them, or after those that
	// it is made of.
	When RecoveryOrder
	// Addons are those that it has to do with beside its subject; may be nil.
	Addons func(daemon.Operation) []string

	// Recover brings one that was cut short to its one allowed outcome. It may be cut short
	// too, and is then done again.
	Recover func(context.Context, *Operation) error
}

// SubjectKind is what an operation is done to.
type SubjectKind int

// What operations are done to.
const (
	OfAddon  SubjectKind = iota // means nothing without it, and ends with it
	OfApp                       // likewise
	OfBackup                    // its subject is an add-on that it may outlive
	OfCheck                     // its subject is an app that a check of a plugin makes for itself
)

// RecoveryOrder is when, at a start, an operation is recovered.
type RecoveryOrder int

// The orders.
const (
	RecoveredAmong RecoveryOrder = iota
	RecoveredBefore
	RecoveredAfter
)

func (k Kind) has(step string) bool { return slices.Contains(k.Steps, step) }

// lingers tells whether an operation is past what the lock is needed for, as a rule.
func (k Kind) lingers(op daemon.Operation) bool {
	return k.Background != "" && op.Step == k.Background
}
