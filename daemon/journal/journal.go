// Package journal is the record of what is under way: every step that changes the world is in
// it before it is taken, so that the next start can finish or undo what was cut short.
package journal

import (
	"context"
	"slices"

	"towline/daemon"
	"towline/daemon/work"
)

// Journal is what is under way, each step of it written down before it is taken.
type Journal struct {
	Options
	declared []Kind
	kinds    map[string]Kind
}

// Options are what a Journal is made of.
type Options struct {
	Store daemon.Store
	Locks *work.Locks
	Life  *work.Life
	// Fault is called at every recorded step, for tests that kill the daemon there. May be nil.
	Fault func(point string)
}

// New returns a Journal of operations of no kind: see Declare.
func New(o Options) *Journal { return &Journal{Options: o, kinds: map[string]Kind{}} }

// Declare adds kinds of operation: Begin takes no other. All are declared before the first
// operation begins.
func (j *Journal) Declare(kinds ...Kind) {
	j.declared = append(j.declared, kinds...)
	for _, k := range kinds {
		j.kinds[k.Name] = k
		if k.Formerly != "" {
			j.kinds[k.Formerly] = k
		}
	}
}

// Kinds are those that were declared.
func (j *Journal) Kinds() []Kind { return slices.Clone(j.declared) }

// Begin records a new operation at its first step, together with what else must
// be in the same transaction. The event, if it has a kind, is recorded once it is known what came of
// the operation: see Done and Finish. An app whose destruction could not be ended takes no other.
func (j *Journal) Begin(ctx context.Context, kind, subject string, event daemon.Activity, step string, data any, also ...func(daemon.Tx) error) (*Operation, error) {
	k, ok := j.kinds[kind]
	if !ok || !k.has(step) {
		return nil, daemon.Errorf(daemon.Failed, "there is no kind of operation %q with the step %q", kind, step)
	}
	op := &Operation{j: j, Operation: daemon.Operation{Kind: kind, Subject: subject, Member: event.Member, Step: step, Started: daemon.Now()}}
	op.setEvent(ctx, event)
	op.Data = Encode(data)
	err := j.Store.Update(ctx, func(tx daemon.Tx) error {
		ops, err := tx.Operations()
		if err != nil {
			return err
		}
		destroying := func(o daemon.Operation) bool { return j.kinds[o.Kind].Ends && o.Subject == subject }
		if !k.Ends && k.Of == OfApp && slices.ContainsFunc(ops, destroying) {
			return daemon.Errorf(daemon.Conflict, "%s is being destroyed, and that could not be ended", subject).
				WithHint("towline apps:destroy -a %s --confirm %s", subject, subject)
		}
		for _, f := range also {
			if err := f(tx); err != nil {
				return err
			}
		}
		return tx.InsertOperation(&op.Operation)
	})
	if err != nil {
		return nil, err
	}
	j.Reached(kind + ":" + step)
	return op, nil
}

// Insert records another operation in a transaction that is under way: it begins if that does.
func (j *Journal) Insert(tx daemon.OperationTx, kind, subject, member, step string, data any) (*Operation, error) {
	if k, ok := j.kinds[kind]; !ok || !k.has(step) {
		return nil, daemon.Errorf(daemon.Failed, "there is no kind of operation %q with the step %q", kind, step)
	}
	op := &Operation{j: j, Operation: daemon.Operation{Kind: kind, Subject: subject, Member: member, Step: step, Started: daemon.Now(), Data: Encode(data)}}
	if err := tx.InsertOperation(&op.Operation); err != nil {
		return nil, err
	}
	return op, nil
}

// Resume takes an operation up again that the journal has.
func (j *Journal) Resume(op daemon.Operation) *Operation { return &Operation{j: j, Operation: op} }

// IsOf tells whether an operation is of a kind that is done to such a subject.
func (j *Journal) IsOf(op daemon.Operation, of SubjectKind) bool {
	k, ok := j.kinds[op.Kind]
	return ok && k.Of == of
}

// Kind is the declaration of a kind of operation.
func (j *Journal) Kind(name string) Kind { return j.kinds[name] }

// Reached is called at each recorded step, and where tests kill the daemon.
func (j *Journal) Reached(point string) {
	if j.Fault != nil {
		j.Fault(point)
	}
}
