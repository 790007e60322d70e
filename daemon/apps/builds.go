package apps

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"towline/daemon"
)

// buildsUnderWay are the builds that can be cancelled, by app.
type buildsUnderWay struct {
	mu  sync.Mutex
	all map[string]underWay
}

type underWay struct {
	number int
	cancel context.CancelCauseFunc
	done   chan struct{} // closed once it is recorded how it ended
}

// begin returns the context of a build, which a cancellation ends, and a function that ends the
// time in which it can be cancelled: its error is the cancellation.
func (u *buildsUnderWay) begin(ctx context.Context, app string, number int) (context.Context, func() *cancelledError, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = map[string]underWay{}
	}
	u.all[app] = underWay{number, cancel, done}
	built := func() *cancelledError {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.all, app)
		var cancelled *cancelledError
		if c, ok := context.Cause(ctx).(*cancelledError); ok {
			cancelled = c
		}
		cancel(nil)
		return cancelled
	}
	return ctx, built, sync.OnceFunc(func() { close(done) })
}

// cancelledError is the cause of a build that somebody has cancelled.
type cancelledError struct{ by daemon.Caller }

func (e *cancelledError) Error() string {
	return "the build was cancelled by " + daemon.Who(e.by.Member)
}

func (e *cancelledError) error() *daemon.Error {
	return daemon.Errorf(daemon.Failed, "%s", e.Error()).WithHint("nothing was released; to build it again, push again")
}

// record tells of it in the transaction that ends the build. It may be nil: nobody has.
func (e *cancelledError) record(tx daemon.ActivityTx, b daemon.Build) error {
	if e == nil {
		return nil
	}
	return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: e.by.Member, Key: e.by.Key, Address: e.by.Address, Kind: daemon.BuildStopped, App: b.App,
		Subject: strconv.Itoa(b.Number), Text: fmt.Sprintf("cancelled build %d", b.Number)})
}

// builds are what is kept of how images came to be, and what goes on of it.
type builds struct {
	*base
	underWay buildsUnderWay
}

// Builds lists the newest builds of an app, newest first.
func (bs *builds) Builds(ctx context.Context, app string) ([]daemon.Build, error) {
	return daemon.Read(ctx, bs.Store, func(tx daemon.Tx) ([]daemon.Build, error) {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return nil, err
		}
		return tx.Builds(app)
	})
}

// Build is one build of an app; number 0 is the newest.
func (bs *builds) Build(ctx context.Context, app string, number int) (daemon.Build, error) {
	list, err := bs.Builds(ctx, app)
	if err != nil {
		return daemon.Build{}, err
	}
	for _, b := range list {
		if number == 0 || b.Number == number {
			return b, nil
		}
	}
	if number == 0 {
		return daemon.Build{}, daemon.Errorf(daemon.NotFound, "%s was never built", app).WithHint("git push towline main")
	}
	return daemon.Build{}, daemon.Errorf(daemon.NotFound, "%s has no build %d, or no longer: the newest %d are kept", app, number, daemon.KeptBuilds).
		WithHint("towline builds -a %s", app)
}

// maxBuildLines is more than is kept of a build.
const maxBuildLines = 1_000_000

// BuildOutput sends what is kept of what a build has written.
func (bs *builds) BuildOutput(ctx context.Context, app string, number int, line func(daemon.LogLine) error) (daemon.Build, error) {
	b, err := bs.Build(ctx, app, number)
	if err != nil {
		return b, err
	}
	q := daemon.LogQuery{App: app, Source: "build", Process: buildProcess(b.Number), Lines: maxBuildLines}
	return b, bs.Logs.Read(ctx, q, line)
}

// CancelBuild ends the build of an app that is under way, as long as nothing of it is released,
// and returns it once it has ended. number 0 is whichever that is.
func (bs *builds) CancelBuild(ctx context.Context, app, member string, number int) (daemon.Build, error) {
	b, err := bs.Build(ctx, app, number)
	if err != nil {
		return b, err
	}
	bs.underWay.mu.Lock()
	u, ok := bs.underWay.all[app]
	if ok = ok && u.number == b.Number; ok {
		by := daemon.CallerOf(ctx)
		by.Member = member
		u.cancel(&cancelledError{by})
	}
	bs.underWay.mu.Unlock()
	if !ok {
		return b, daemon.Errorf(daemon.Conflict, "build %d of %s can't be cancelled: it has %s", b.Number, app, ended(b)).WithHint("towline builds -a %s", app)
	}
	select {
	case <-u.done:
	case <-ctx.Done():
		return b, context.Cause(ctx)
	}
	return bs.Build(ctx, app, b.Number)
}

// ended says how a build ended.
func ended(b daemon.Build) string {
	switch b.Status {
	case daemon.BuildRunning, daemon.BuildSucceeded:
		return "been built already"
	case daemon.BuildCancelled, daemon.BuildInterrupted:
		return "been " + string(b.Status)
	}
	return string(b.Status)
}

func buildProcess(number int) string { return fmt.Sprint("build.", number) }

// ends records how a build ended, in the transaction that ends it.
func ends(b daemon.Build, status daemon.BuildStatus, why string) func(daemon.Tx) error {
	b.Status, b.Finished, b.Error = status, daemon.Now(), why
	return func(tx daemon.Tx) error { return tx.UpdateBuild(b) }
}

// interrupted records that the builds of an app which run were cut short.
func interrupted(tx daemon.Tx, app string) error {
	list, err := tx.Builds(app)
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.Status != daemon.BuildRunning {
			continue
		}
		if err := ends(b, daemon.BuildInterrupted, "Towline was stopped")(tx); err != nil {
			return err
		}
	}
	return nil
}

// Took is how long a build ran, or runs.
func Took(b daemon.Build) time.Duration {
	end := b.Finished
	if end.IsZero() {
		end = time.Now()
	}
	return end.Sub(b.Created)
}
