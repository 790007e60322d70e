package ci

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/journal"
	"towline/daemon/work"
)

// Request is source whose tests are to run.
type Request struct {
	App     string // whose pipeline it is of
	Member  string
	Branch  string
	Commit  string    // full id; empty for an archive
	Subject string    // first line of the commit's message; may be empty
	Source  io.Reader // tar or tar.gz
	Debug   *Debug    // nil: the tests run
}

const opTest = "test"

func (ts *Tests) testKind() journal.Kind {
	return journal.Kind{Name: opTest, Text: "a test run", Of: journal.OfApp, Shared: true,
		Steps:   []string{string(daemon.TestPending), string(daemon.TestCreating), string(daemon.TestBuilding), string(daemon.TestRunning)},
		Recover: ts.recover}
}

// testData is what a recovery must know of a run that was cut short.
type testData struct {
	ID    string `json:"id"`
	Image string `json:"image"`
}

// testRun is a run that is under way.
type testRun struct {
	*Tests
	daemon.TestRun
	op    *journal.Operation
	dir   string // of the source
	plan  plan
	image string // name that its image gets
	out   *shown
	debug *Debug
}

// Run takes the source in, checks what it says of its tests, and carries the run out: its turn, its
// add-ons, its image, its scripts. What came of it is in the run; an error tells that it was not
// begun, or that the daemon ends. Once the source is there, the end of ctx stops nothing.
func (ts *Tests) Run(ctx context.Context, req Request, out io.Writer) (daemon.TestRun, error) {
	if err := checkBranch(req.Branch); err != nil {
		return daemon.TestRun{}, err
	}
	place, err := ts.Pipelines.Coupling(ctx, req.App)
	if err != nil {
		return daemon.TestRun{}, err
	}
	id := strings.ToLower(rand.Text()[:20])
	defer ts.Releases.RemoveWork(id)
	keep := ts.keepSource(id, &req)
	dir, err := ts.Releases.TakeSource(ctx, id, apps.DeployRequest{App: req.App, Source: req.Source}, out)
	if err != nil {
		return daemon.TestRun{}, err
	}
	p, err := ts.planRun(dir, req.App, out)
	if err != nil {
		return daemon.TestRun{}, err
	}
	user := ctx
	ctx, cancel := ts.Life.Detach(ctx)
	defer cancel()
	if req.Debug != nil {
		p.nodes = 1
	}
	t := &testRun{Tests: ts, dir: dir, debug: req.Debug, plan: p, image: ts.Containers.ImageName(req.App, "test-"+id), TestRun: daemon.TestRun{
		App: req.App, ID: id, Pipeline: place.Pipeline, Status: daemon.TestPending, Member: req.Member, Branch: req.Branch, Commit: req.Commit, Subject: daemon.Printable(req.Subject), Created: daemon.Now(),
	}}
	for i := range p.nodes {
		t.Nodes = append(t.Nodes, daemon.TestNode{Index: i, Status: daemon.TestPending})
	}
	event := daemon.Activity{Kind: daemon.TestsRan, Member: req.Member, App: req.App, Text: "ran the tests of " + name(t.TestRun)}
	t.op, err = ts.Journal.Begin(ctx, opTest, req.App, event, string(daemon.TestPending), testData{id, t.image}, func(tx daemon.Tx) error { return tx.InsertTestRun(&t.TestRun) })
	if err != nil {
		return daemon.TestRun{}, err
	}
	t.op.Event.Subject = strconv.Itoa(t.Number)
	keep()
	running, recorded := ts.underWay.begin(ctx, id)
	defer recorded()
	if req.Debug != nil { // and ends with its user
		defer context.AfterFunc(user, func() { ts.underWay.cancel(id, daemon.CallerOf(ctx)) })()
	}
	t.out = show(apps.NewRecording(ts.Logs, ts.Log, t.App, "test", t.Number, daemon.KeptTests, out), p.env)
	work.Stage(t.out, "Test run %d of %s: %s", t.Number, t.App, name(t.TestRun))
	err = daemon.Try("a test run", func() error { return t.carryOut(running) })
	if errors.Is(context.Cause(ctx), daemon.ErrClosing) {
		return t.TestRun, daemon.ErrClosing // the journal has it
	}
	var cancelled *cancelledError
	errors.As(context.Cause(running), &cancelled)
	t.ended(err, cancelled)
	err = ts.Life.Outlast(ctx, t.out, func(ctx context.Context) error {
		return work.Thrice(ctx, func() error { return t.end(ctx, cancelled) })
	})
	return t.TestRun, err
}

// carryOut takes the run from its turn to the end of its scripts. An error is the reason why it
// did not come to that.
func (t *testRun) carryOut(ctx context.Context) error {
	leave, err := t.queue.Enter(ctx, func(_, ahead int) {
		work.Stage(t.out, "Waiting: %d test runs go on, which are as many as may at once%s", t.AtOnce, before(ahead))
	})
	if err != nil {
		return err
	}
	defer leave()
	if err := t.to(ctx, daemon.TestCreating); err != nil {
		return err
	}
	services, err := t.startServices(ctx)
	if err != nil {
		return err
	}
	if err := t.to(ctx, daemon.TestBuilding); err != nil {
		return err
	}
	built, err := t.Builder.Build(ctx, daemon.BuildRequest{ID: t.ID, App: t.App, Source: t.dir, Image: t.image, Env: t.env(0, services), Choice: t.plan.choice}, t.out)
	if err != nil {
		return err
	}
	if t.debug != nil {
		return t.debugNode(ctx, built, services)
	}
	if err := t.to(ctx, daemon.TestRunning); err != nil {
		return err
	}
	t.runNodes(ctx, built, services)
	return nil
}

func before(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d others wait before this one", n)
}

// to records that the run, with all nodes, is where the status says.
func (t *testRun) to(ctx context.Context, status daemon.TestStatus) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	t.Status = status
	for i := range t.Nodes {
		t.Nodes[i].Status = status
	}
	step := status
	if status == daemon.TestDebugging {
		step = daemon.TestRunning
	}
	return t.op.Next(ctx, string(step), nil, func(tx daemon.Tx) error { return tx.UpdateTestRun(t.TestRun) })
}

// ended settles what came of the run.
func (t *testRun) ended(err error, cancelled *cancelledError) {
	at := t.Status
	t.Finished = daemon.Now()
	t.Status = daemon.TestSucceeded
	switch {
	case cancelled != nil:
		t.Status, t.Error = daemon.TestCancelled, cancelled.Error()
	case err != nil:
		t.Status, t.Error = daemon.TestErrored, t.out.hidden(err.Error())
		work.Warn(t.out, "%s", work.WithHint(err))
	}
	if t.debug != nil && t.Status == daemon.TestSucceeded { // which is said of no commit whose tests did not run
		t.Status, t.Error = daemon.TestCancelled, "somebody had a shell in place of the tests"
	}
	t.tellFailing()
	for i, n := range t.Nodes {
		switch {
		case cancelled != nil && !n.Status.Ended():
			t.Nodes[i].Status = daemon.TestCancelled
		case err != nil && !n.Status.Ended():
			t.Nodes[i].Status, t.Nodes[i].ErrorStatus = daemon.TestErrored, at
		case n.Status == daemon.TestErrored && t.Status != daemon.TestCancelled:
			t.Status, t.Error = n.Status, n.Error
		case n.Status == daemon.TestFailed && t.Status == daemon.TestSucceeded:
			t.Status, t.Error = n.Status, n.Error
		}
	}
}

// end leaves nothing of the run but its record.
func (t *testRun) end(ctx context.Context, cancelled *cancelledError) error {
	if err := t.remove(ctx, testData{t.ID, t.image}); err != nil {
		return err
	}
	var last strings.Builder
	work.Stage(&last, "%s", Says(t.TestRun))
	t.op.Event.Code = ExitCode(t.TestRun)
	err := t.op.Finish(ctx, func(tx daemon.Tx) error {
		err := tx.UpdateTestRun(t.TestRun)
		if daemon.IsKind(err, daemon.NotFound) { // it ended with its app
			return nil
		}
		if t.Status == daemon.TestSucceeded {
			err = errors.Join(err, t.op.Done(tx))
		}
		return errors.Join(err, cancelled.record(tx, t.TestRun))
	})
	if err == nil {
		t.out.end(last.String())
		err = t.Sweep(ctx)
	}
	return err
}

// remove leaves nothing of a run in the world. Every part may have been done before.
func (ts *Tests) remove(ctx context.Context, of testData) error {
	err := errors.Join(
		ts.Containers.RemoveWhere(ctx, map[string]string{daemon.LabelTest: of.ID}, nil),
		ts.Engine.RemoveNetwork(ctx, ts.Containers.TestName(of.ID, "")),
		ts.Builder.Clean(ctx, of.ID),
		ts.Engine.UntagImage(ctx, of.Image),
	)
	if err == nil {
		ts.Containers.ForgetTestIDs(of.ID)
		ts.Releases.RemoveWork(of.ID)
	}
	return err
}

// recover ends a run that was cut short: it is errored, whatever it would have come to.
func (ts *Tests) recover(ctx context.Context, op *journal.Operation) error {
	data, err := journal.Decode[testData](op.Operation)
	if err != nil {
		return err
	}
	if err := ts.remove(ctx, data); err != nil {
		return err
	}
	return op.Finish(ctx, func(tx daemon.Tx) error {
		runs, err := tx.TestRuns(op.Subject)
		if err != nil {
			return err
		}
		for _, r := range runs {
			if r.ID != data.ID || r.Status.Ended() {
				continue
			}
			at := r.Status
			r.Status, r.Finished, r.Error = daemon.TestErrored, daemon.Now(), "Towline was stopped meanwhile"
			for i := range r.Nodes {
				r.Nodes[i].Status, r.Nodes[i].ErrorStatus = daemon.TestErrored, at
			}
			return tx.UpdateTestRun(r)
		}
		return nil
	})
}

// ExitCode is that of the worst of a run's nodes, or 1 for a run that did not come to its tests.
func ExitCode(r daemon.TestRun) (worst int) {
	for _, n := range r.Nodes {
		worst = max(worst, n.ExitCode)
	}
	if r.Status != daemon.TestSucceeded && r.Status.Ended() {
		worst = max(worst, 1)
	}
	return worst
}

// Says is how a run ended, for people.
func Says(r daemon.TestRun) string {
	text := fmt.Sprintf("Test run %d %s after %s", r.Number, r.Status, Took(r).Round(100*time.Millisecond))
	if r.Status == daemon.TestErrored || r.Status == daemon.TestCancelled {
		text = fmt.Sprintf("Test run %d was %s after %s", r.Number, r.Status, Took(r).Round(100*time.Millisecond))
	}
	if r.Error != "" {
		text += ": " + r.Error
	}
	return text
}

// maxBranch bounds the name of a branch, in bytes.
const maxBranch = 1000

// checkBranch takes whatever git takes, as far as it can be shown and handed to a script.
func checkBranch(branch string) error {
	if branch == "" || len(branch) > maxBranch || !utf8.ValidString(branch) || strings.ContainsFunc(branch, unicode.IsControl) {
		return daemon.Errorf(daemon.Invalid, "%q is not the name of a branch to test", daemon.Clip(branch)).WithHint("git push towline HEAD:refs/ci/BRANCH, with at most %d bytes", maxBranch)
	}
	return nil
}

// name is what a run is of, for people.
func name(r daemon.TestRun) string {
	text := daemon.Clip(r.Branch)
	if r.Commit != "" {
		text += " (" + r.Commit[:min(8, len(r.Commit))] + ")"
	}
	return text
}

func process(number int) string { return fmt.Sprint("test.", number) }
