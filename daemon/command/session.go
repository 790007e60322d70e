package command

import (
	"context"
	"errors"

	"towline/daemon"
	"towline/daemon/people"
)

// open lets the call begin if its caller is who they were when they connected and may do
// what they ask. The context that it returns, and the caller's streams, end as soon as that is
// no longer so.
func (call *Call) open(ctx context.Context, c *Command, end func(error)) (_ context.Context, closed func(), err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	asked := *call
	ctx, closeSession := call.People.OpenSession(ctx, func(ctx context.Context) error {
		again := asked // what the command works with stays as it is
		return again.check(ctx, c)
	}, func(cause error) {
		cause = &endedError{daemon.Errorf(daemon.Forbidden, "this was ended: %w", cause)}
		cancel(cause)
		if end != nil {
			end(cause)
		}
	})
	closed = func() { closeSession(); cancel(nil) }
	if err := call.check(ctx, c); err != nil {
		closed()
		return nil, nil, err
	}
	return ctx, closed, nil
}

// check asks for the caller's rights as they are now.
func (call *Call) check(ctx context.Context, c *Command) error {
	if err := call.People.Identify(ctx, people.Caller{Member: call.Member, Key: call.Key}); err != nil {
		return err
	}
	return call.authorize(ctx, c)
}

// endedError is why a call was ended before its time: its caller may not make it any more.
type endedError struct{ err *daemon.Error }

func (e *endedError) Error() string { return e.err.Error() }

func (e *endedError) Unwrap() error { return e.err }

// ended returns why the call was ended before its time, nil if it was not.
func ended(ctx context.Context) error {
	if e := (*endedError)(nil); errors.As(context.Cause(ctx), &e) {
		return e
	}
	return nil
}
