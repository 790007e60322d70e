package journal

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"towline/daemon"
)

// Operation is a journal entry that is being carried out.
type Operation struct {
	daemon.Operation
	j *Journal
}

// Next records the next step. data replaces the operation's unless it is nil.
func (op *Operation) Next(ctx context.Context, step string, data any, also ...func(daemon.Tx) error) error {
	if !op.j.Kind(op.Kind).has(step) {
		return daemon.Errorf(daemon.Failed, "an operation of the kind %q has no step %q", op.Kind, step)
	}
	op.j.Reached(op.Kind + ":" + op.Step + ":done")
	next := op.Operation
	next.Step = step
	if data != nil {
		next.Data = Encode(data)
	}
	err := op.j.Store.Update(ctx, func(tx daemon.Tx) error {
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
	op.j.Reached(op.Kind + ":" + step)
	return nil
}

// Do carries the operation out. What fails is undone, for as long as Podman or the proxy is
// away; what the end of the daemon cuts short stays in the journal for its next start.
func (op *Operation) Do(ctx context.Context, out io.Writer, do, undo func(context.Context) error) error {
	err := daemon.Try(op.j.kinds[op.Kind].Text, func() error { return do(ctx) })
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), daemon.ErrClosing):
		return daemon.ErrClosing
	}
	return errors.Join(err, op.j.Life.Outlast(ctx, out, undo))
}

// Finish takes the operation out of the journal: it is done, or undone. One that has
// ended with its subject is no error.
func (op *Operation) Finish(ctx context.Context, also ...func(daemon.Tx) error) error {
	op.j.Reached(op.Kind + ":" + op.Step + ":done")
	return op.j.Store.Update(ctx, func(tx daemon.Tx) error {
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

// EndOthers takes all other operations that mean nothing without the same subject out of the
// journal, as the subject is gone. Left there, the next start would carry them out on
// whatever has its name by then.
func (op *Operation) EndOthers(tx daemon.Tx, of SubjectKind) error {
	ops, err := tx.Operations()
	for _, o := range ops {
		if o.ID != op.ID && o.Subject == op.Subject && op.j.IsOf(o, of) {
			err = errors.Join(err, tx.DeleteOperation(o.ID))
		}
	}
	return err
}

func Encode(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own plain structs
	}
	return b
}

// Decode reads an operation's data. It was written by encode, maybe by an older
// version: unknown fields are ignored.
func Decode[T any](op daemon.Operation) (v T, err error) {
	if len(op.Data) > 0 {
		err = json.Unmarshal(op.Data, &v)
	}
	return v, err
}
