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
	j        *Journal
	recorded bool // its event, in the transaction that is under way
}

// setEvent keeps the event with the operation: who ends it may be a later daemon.
func (op *Operation) setEvent(ctx context.Context, event daemon.Activity) {
	if event.Kind == "" {
		return
	}
	if c := daemon.CallerOf(ctx); c.Member == event.Member {
		event.Key, event.Address = c.Key, c.Address
	}
	op.Event = &event
}

// Done records the operation's event in the transaction that makes what it did so. It is to be
// handed to Next or Finish; what is finished without it was undone.
func (op *Operation) Done(tx daemon.Tx) error { return op.record(tx, daemon.Done) }

func (op *Operation) record(tx daemon.ActivityTx, outcome daemon.Outcome) error {
	if op.Event == nil || op.recorded {
		return nil
	}
	event := *op.Event
	event.Time, event.Outcome = daemon.Now(), outcome
	event.Took = event.Time.Sub(op.Started)
	if outcome != daemon.Done {
		event.Undo = "" // there is nothing to take back
	}
	op.recorded = true
	return tx.RecordActivity(event)
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
	op.recorded = false
	err := op.j.Store.Update(ctx, func(tx daemon.Tx) error {
		for _, f := range also {
			if err := f(tx); err != nil {
				return err
			}
		}
		if next.Event = op.Event; op.recorded {
			next.Event = nil
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
// ended with its subject is no error. Unless Done is among what goes with it, its event says that
// it was undone.
func (op *Operation) Finish(ctx context.Context, also ...func(daemon.Tx) error) error {
	op.j.Reached(op.Kind + ":" + op.Step + ":done")
	op.recorded = false
	return op.j.Store.Update(ctx, func(tx daemon.Tx) error {
		for _, f := range also {
			if err := f(tx); err != nil {
				return err
			}
		}
		switch err := tx.DeleteOperation(op.ID); {
		case daemon.IsKind(err, daemon.NotFound):
			return nil
		case err != nil:
			return err
		}
		return op.record(tx, daemon.Undone)
	})
}

// EndOthers takes all other operations that mean nothing without the same subject out of the
// journal, as the subject is gone. Left there, the next start would carry them out on
// whatever has its name by then.
func (op *Operation) EndOthers(tx daemon.Tx, of SubjectKind) error {
	ops, err := tx.Operations()
	for _, o := range ops {
		if o.ID != op.ID && o.Subject == op.Subject && op.j.IsOf(o, of) {
			err = errors.Join(err, tx.DeleteOperation(o.ID), op.j.Resume(o).record(tx, daemon.Undone))
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
