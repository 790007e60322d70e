package machine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"towline/daemon"
)

// operation is a journal entry that is being carried out.
type operation struct {
	daemon.Operation
	d *Daemon
}

// begin records a new operation at its first step, together with what else must
// be in the same transaction. An app whose destruction could not be ended takes no other.
func (d *Daemon) begin(ctx context.Context, kind, subject, member, step string, data any, also ...func(daemon.Tx) error) (*operation, error) {
	k, ok := d.kinds[kind]
	if !ok || !k.has(step) {
		return nil, daemon.Errorf(daemon.Failed, "there is no kind of operation %q with the step %q", kind, step)
	}
	op := &operation{d: d, Operation: daemon.Operation{Kind: kind, Subject: subject, Member: member, Step: step, Started: daemon.Now()}}
	op.Data = encode(data)
	err := d.Store.Update(ctx, func(tx daemon.Tx) error {
		ops, err := tx.Operations()
		if err != nil {
			return err
		}
		destroying := func(o daemon.Operation) bool { return d.kinds[o.Kind].ends && o.Subject == subject }
		if !k.ends && k.of == ofApp && slices.ContainsFunc(ops, destroying) {
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
	d.fault(kind + ":" + step)
	return op, nil
}

// resume takes an operation up again that the journal has.
func (d *Daemon) resume(op daemon.Operation) *operation { return &operation{d: d, Operation: op} }

// step records the next step. data replaces the operation's unless it is nil.
func (op *operation) step(ctx context.Context, step string, data any, also ...func(daemon.Tx) error) error {
	if !op.d.kind(op.Kind).has(step) {
		return daemon.Errorf(daemon.Failed, "an operation of the kind %q has no step %q", op.Kind, step)
	}
	op.d.fault(op.Kind + ":" + op.Step + ":done")
	next := op.Operation
	next.Step = step
	if data != nil {
		next.Data = encode(data)
	}
	err := op.d.Store.Update(ctx, func(tx daemon.Tx) error {
		for _, f := range also {
			if err := f(tx); err != nil {
				return err
			}
		}
		return tx.UpdateOperation(next)
	})
	if err != nil {
		return err
	}
	op.Operation = next
	op.d.fault(op.Kind + ":" + step)
	return nil
}

// finish takes the operation out of the journal: it is done, or undone. One that has
// ended with its subject is no error.
func (op *operation) finish(ctx context.Context, also ...func(daemon.Tx) error) error {
	op.d.fault(op.Kind + ":" + op.Step + ":done")
	return op.d.Store.Update(ctx, func(tx daemon.Tx) error {
		for _, f := range also {
			if err := f(tx); err != nil {
				return err
			}
		}
		if err := tx.DeleteOperation(op.ID); err != nil && !daemon.IsKind(err, daemon.NotFound) {
			return err
		}
		return nil
	})
}

// endOthers takes all other operations that mean nothing without the same subject out of the
// journal, as the subject is gone. Left there, the next start would carry them out on
// whatever has its name by then.
func (op *operation) endOthers(tx daemon.Tx, of subjectKind) error {
	ops, err := tx.Operations()
	for _, o := range ops {
		if o.ID != op.ID && o.Subject == op.Subject && op.d.isOf(o, of) {
			err = errors.Join(err, tx.DeleteOperation(o.ID))
		}
	}
	return err
}

// isOf tells whether an operation is of a kind that is done to such a subject.
func (d *Daemon) isOf(op daemon.Operation, of subjectKind) bool {
	k, ok := d.kinds[op.Kind]
	return ok && k.of == of
}

// kind is the declaration of a kind of operation.
func (d *Daemon) kind(name string) opKind { return d.kinds[name] }

func (d *Daemon) fault(point string) {
	if d.Fault != nil {
		d.Fault(point)
	}
}

func encode(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own plain structs
	}
	return b
}

// decode reads an operation's data. It was written by encode, maybe by an older
// version: unknown fields are ignored.
func decode[T any](op daemon.Operation) (v T, err error) {
	if len(op.Data) > 0 {
		err = json.Unmarshal(op.Data, &v)
	}
	return v, err
}
