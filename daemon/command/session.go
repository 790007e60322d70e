package command

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"towline/daemon"
	"towline/daemon/people"
)

// open lets the call begin if its caller is who they were when they connected and may do
// what they ask. The context that it returns, and the caller's streams, end as soon as that is
// no longer so.
func (call *Call) open(ctx context.Context, c *Command, end func(error)) (_ context.Context, closed func(), err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var asked atomic.Pointer[Call]
	before := *call
	asked.Store(&before)
	ctx, closeSession := call.People.OpenSession(ctx, func(ctx context.Context) error {
		again := *asked.Load() // what the command works with stays as it is
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
		call.refused(ctx, c, err)
		closed()
		return nil, nil, err
	}
	chosen := *call
	asked.Store(&chosen) // the rights that were looked at are those that are looked at again
	return ctx, closed, nil
}

// check asks for the caller's rights as they are now.
func (call *Call) check(ctx context.Context, c *Command) error {
	if err := call.People.Identify(ctx, people.Caller{Member: call.Member, Key: call.Key}); err != nil {
		return err
	}
	return call.authorize(ctx, c)
}

// refused records that the caller may not do this. That the record can't be made changes nothing
// for them.
func (call *Call) refused(ctx context.Context, c *Command, err error) {
	if call.request.completing || !daemon.IsKind(err, daemon.Forbidden) && !daemon.IsKind(err, daemon.NotFound) {
		return
	}
	denied := call.denied
	if denied.Member, denied.Command = call.Member, c.Name; denied.App+denied.Addon+denied.Backup == "" && daemon.IsKind(err, daemon.NotFound) {
		return // nobody is where they looked
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	_ = call.Activity.Refuse(daemon.WithCaller(ctx, call.caller()), denied)
}

// caller is who asks, as the activity tells it.
func (call *Call) caller() daemon.Caller {
	return daemon.Caller{Member: call.Member, Key: call.Key, Address: call.request.Address, Began: daemon.Now()}
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
