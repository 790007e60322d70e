// Package ci is the room of test runs: source of a pipeline's app is built, and its tests run beside
// add-ons of their own. Nothing of that is an app, and nothing of it is left.
package ci

import (
	"context"
	"log/slog"
	"time"

	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/apps"
	"towline/daemon/container"
	"towline/daemon/journal"
	"towline/daemon/pipelines"
	"towline/daemon/work"
)

// Options are what the room is made of. All but AtOnce, Timeout and Short are required.
type Options struct {
	Dir    string        // state directory
	Limits daemon.Limits // of each node

	AtOnce  int           // runs that go on at once, the others wait; 0: two
	Timeout time.Duration // of the scripts of a node; 0: an hour
	// Short is a directory whose disk has less free than has to stay so, which nodes are ended for;
	// empty: none has. Nil: nobody looks.
	Short func(context.Context) (string, error)

	Store   daemon.Store
	Engine  daemon.Engine
	Builder daemon.Builder
	Logs    daemon.Logs
	Log     *slog.Logger

	Life       *work.Life
	Journal    *journal.Journal
	Containers *container.Containers
	Pipelines  *pipelines.Pipelines
	AppRoom
	AddonRoom
}

// The rooms below, each by the names of what there is in it.
type (
	AppRoom   = apps.Room
	AddonRoom = addons.Room
)

// Tests are what there is to do with test runs.
type Tests struct {
	Options
	queue    work.Queue
	underWay underWay
}

const (
	defaultAtOnce  = 2
	defaultTimeout = time.Hour
)

// New returns the room.
func New(o Options) *Tests {
	if o.AtOnce == 0 {
		o.AtOnce = defaultAtOnce
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	return &Tests{Options: o, queue: work.Queue{Most: o.AtOnce}}
}

// Kinds are the kinds of operation that the room begins.
func (ts *Tests) Kinds() []journal.Kind { return []journal.Kind{ts.testKind()} }

// Runs lists the newest test runs of an app, newest first.
func (ts *Tests) Runs(ctx context.Context, app string) ([]daemon.TestRun, error) {
	return daemon.Read(ctx, ts.Store, func(tx daemon.Tx) ([]daemon.TestRun, error) {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return nil, err
		}
		return tx.TestRuns(app)
	})
}

// TestRun is one run of an app's tests; number 0 is the newest.
func (ts *Tests) TestRun(ctx context.Context, app string, number int) (daemon.TestRun, error) {
	list, err := ts.Runs(ctx, app)
	if err != nil {
		return daemon.TestRun{}, err
	}
	for _, r := range list {
		if number == 0 || r.Number == number {
			return r, nil
		}
	}
	if number == 0 {
		return daemon.TestRun{}, daemon.Errorf(daemon.NotFound, "no tests of %s have run yet", app).WithHint("git push towline HEAD:refs/ci/BRANCH")
	}
	return daemon.TestRun{}, daemon.Errorf(daemon.NotFound, "%s has no test run %d, or no longer: the newest %d are kept", app, number, daemon.KeptTests).
		WithHint("towline ci -a %s", app)
}

// maxOutputLines is more than is kept of a run.
const maxOutputLines = 1_000_000

// Output sends what is kept of what a run has written.
func (ts *Tests) Output(ctx context.Context, app string, number int, line func(daemon.LogLine) error) (daemon.TestRun, error) {
	r, err := ts.TestRun(ctx, app, number)
	if err != nil {
		return r, err
	}
	return r, ts.Logs.Read(ctx, daemon.LogQuery{App: app, Source: "test", Process: process(r.Number), Lines: maxOutputLines}, line)
}

// Took is how long a run took, or takes.
func Took(r daemon.TestRun) time.Duration {
	end := r.Finished
	if end.IsZero() {
		end = time.Now()
	}
	return end.Sub(r.Created)
}
