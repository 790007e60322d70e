package ci

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"towline/daemon"
)

// underWay are the runs that can be cancelled, by ID.
type underWay struct {
	mu  sync.Mutex
	all map[string]going
}

type going struct {
	cancel context.CancelCauseFunc
	done   chan struct{} // closed once it is recorded how it ended
}

// begin returns the context of a run, which a cancellation ends, and what is to be called once it is
// recorded how the run ended.
func (u *underWay) begin(ctx context.Context, id string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = map[string]going{}
	}
	u.all[id] = going{cancel, done}
	return ctx, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.all, id)
		cancel(nil)
		close(done)
	}
}

// cancel ends a run, if it goes on.
func (u *underWay) cancel(id string, by daemon.Caller) (going, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	g, ok := u.all[id]
	if ok {
		g.cancel(&cancelledError{by})
	}
	return g, ok
}

// cancelledError is the cause of a run that somebody has cancelled.
type cancelledError struct{ by daemon.Caller }

func (e *cancelledError) Error() string {
	return "the test run was cancelled by " + daemon.Who(e.by.Member)
}

// record tells of it in the transaction that ends the run. It may be nil: nobody has.
func (e *cancelledError) record(tx daemon.Tx, r daemon.TestRun) error {
	if e == nil {
		return nil
	}
	return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: e.by.Member, Key: e.by.Key, Address: e.by.Address, Kind: daemon.TestsCancelled, App: r.App,
		Subject: strconv.Itoa(r.Number), Text: fmt.Sprintf("cancelled test run %d", r.Number)})
}

// Cancel ends a run of an app that is under way, and returns it once all of it is gone. number 0 is
// the newest.
func (ts *Tests) Cancel(ctx context.Context, app, member string, number int) (daemon.TestRun, error) {
	r, err := ts.TestRun(ctx, app, number)
	if err != nil {
		return r, err
	}
	by := daemon.CallerOf(ctx)
	by.Member = member
	g, ok := ts.underWay.cancel(r.ID, by)
	if !ok {
		return r, daemon.Errorf(daemon.Conflict, "test run %d of %s can't be cancelled: it has %s", r.Number, app, ended(r.Status)).WithHint("towline ci -a %s", app)
	}
	select {
	case <-g.done:
	case <-ctx.Done():
		return r, context.Cause(ctx)
	}
	return ts.TestRun(ctx, app, r.Number)
}

// ended says how a run ended.
func ended(s daemon.TestStatus) string {
	switch s {
	case daemon.TestErrored, daemon.TestCancelled:
		return "been " + string(s) + " already"
	case daemon.TestSucceeded, daemon.TestFailed:
		return string(s) + " already"
	}
	return "just ended"
}
