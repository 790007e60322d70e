package ci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/container"
)

// scripts runs a node's two scripts, each in a shell of its own, then prints what reports there are. It
// says between them how far it has come: in a line that begins with the run's ID, which is not shown.
const scripts = `if [ -n "$TOWLINE_TEST_SETUP" ]; then ` +
	`printf '%s setup\n' "$HEROKU_TEST_RUN_ID"; /bin/sh -c "$TOWLINE_TEST_SETUP" || { code=$?; printf '\n%s refused\n' "$HEROKU_TEST_RUN_ID"; exit $code; }; fi; ` +
	`printf '%s test\n' "$HEROKU_TEST_RUN_ID"; mkdir -p "$CI_REPORTS" 2>/dev/null; /bin/sh -c "$TOWLINE_TEST"; code=$?; ` +
	`for report in "$CI_REPORTS"/*.xml; do if [ -f "$report" ]; then printf '\n%s report\n' "$HEROKU_TEST_RUN_ID"; head -c 4000000 "$report"; printf '\n%s end\n' "$HEROKU_TEST_RUN_ID"; fi; done; exit $code`

// reports is where tests put reports in JUnit's XML, in a node's container.
const reports = "/tmp/ci-reports"

// errTooLong is the cause of a node's end whose scripts did not end by themselves.
var errTooLong = errors.New("the time is over")

// runNodes runs the scripts of all nodes beside each other.
func (t *testRun) runNodes(ctx context.Context, built daemon.BuildResult, services []service) {
	all := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if t.Short != nil {
		go t.watchDisk(ctx, cancel)
	}
	var nodes sync.WaitGroup
	for i := range t.Nodes {
		nodes.Go(func() {
			var n daemon.TestNode
			err := daemon.Try("a node of a test run", func() (err error) {
				n, err = t.runNode(ctx, i, built, services)
				return err
			})
			if err != nil && all.Err() == nil {
				n = daemon.TestNode{Index: i, Status: daemon.TestErrored, ErrorStatus: daemon.TestRunning, ExitCode: n.ExitCode, Error: t.out.hidden(err.Error())}
			}
			if err == nil {
				t.Nodes[i] = n // each has its own
			} else if all.Err() == nil {
				t.Nodes[i] = n
			}
		})
	}
	nodes.Wait()
}

// fullError is the cause of a node's end for want of room on the disk.
type fullError struct{ dir string }

func (e *fullError) Error() string {
	return "the disk of " + e.dir + " has less free than has to stay so, and the tests were killed"
}

// watchDisk ends the nodes if a disk has too little free: not every storage bounds what a container
// may write in all.
func (t *testRun) watchDisk(ctx context.Context, end context.CancelCauseFunc) {
	defer daemon.Contain("a look at the disk", nil)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if dir, err := t.Short(ctx); err == nil && dir != "" {
			end(&fullError{dir})
			return
		}
	}
}

// runNode runs one node to its end. An error tells that it did not come to that.
func (t *testRun) runNode(ctx context.Context, index int, built daemon.BuildResult, services []service) (n daemon.TestNode, err error) {
	n = daemon.TestNode{Index: index, Status: daemon.TestSucceeded}
	spec := t.nodeSpec(index, apps.ShellLine(built, scripts), services)
	if err := t.Containers.Create(ctx, spec); err != nil {
		return n, err
	}
	out := &nodeOut{to: t.out, mark: t.ID + " "}
	if len(t.Nodes) > 1 {
		out.prefix = fmt.Sprintf("[%d] ", index)
	}
	limited, cancel := context.WithTimeoutCause(ctx, t.Timeout, errTooLong)
	defer cancel()
	n.ExitCode, err = t.Engine.RunAttached(limited, spec.Name, daemon.Streams{Stdout: out, Stderr: out})
	out.flush()
	n.Passed, n.Failed, n.Skipped, n.Failing = out.tests.result(t.out.hidden)
	if full := (*fullError)(nil); errors.As(context.Cause(ctx), &full) {
		n.ExitCode, n.Status, n.Error = 137, daemon.TestFailed, full.Error()
		return n, t.Engine.RemoveContainer(context.WithoutCancel(ctx), spec.Name)
	}
	if ctx.Err() != nil {
		return n, context.Cause(ctx)
	}
	if errors.Is(context.Cause(limited), errTooLong) {
		n.ExitCode, n.Status = 124, daemon.TestFailed // as timeout(1) has it
		n.Error = fmt.Sprintf("%s did not end within %s and was killed", out.script(), t.Timeout)
		return n, t.Engine.RemoveContainer(ctx, spec.Name)
	}
	if err != nil {
		return n, err
	}
	why := t.Processes.LimitMet(ctx, spec.Name, n.ExitCode)
	switch {
	case n.ExitCode == 0:
	case out.at() == "refused":
		n.Status, n.ErrorStatus, n.Error = daemon.TestErrored, daemon.TestRunning, fmt.Sprintf("the test-setup script ended with exit code %d", n.ExitCode)
	case out.at() == "":
		n.Status, n.ErrorStatus, n.Error = daemon.TestErrored, daemon.TestRunning, fmt.Sprintf("the scripts could not be started: exit code %d", n.ExitCode)
	default:
		n.Status, n.Error = daemon.TestFailed, fmt.Sprintf("the tests ended with exit code %d", n.ExitCode)
	}
	if why == "" && n.ExitCode != 0 {
		why = out.met
	}
	if why != "" && n.ErrorStatus == "" {
		n.Error += ": " + why
	}
	return n, t.Engine.RemoveContainer(ctx, spec.Name)
}

// nodeSpec describes a node's container.
func (t *testRun) nodeSpec(index int, p daemon.Process, services []service) daemon.ContainerSpec {
	env := t.env(index, services)
	for k, v := range map[string]string{
		"CI_NODE_INDEX": strconv.Itoa(index), "CI_NODE_TOTAL": strconv.Itoa(len(t.Nodes)), "DYNO": fmt.Sprintf("test.%d", index),
		"CI_REPORTS": reports, "TOWLINE_TEST_SETUP": t.plan.setup, "TOWLINE_TEST": t.plan.test,
	} {
		env[k] = v
	}
	labels := t.labels()
	labels[daemon.LabelProcess], labels[daemon.LabelIndex] = "test", strconv.Itoa(index)
	limits := t.Limits
	limits.Background = true
	return daemon.ContainerSpec{
		Name: t.Containers.TestName(t.ID, fmt.Sprintf("test.%d", index)), Image: t.image, Hostname: fmt.Sprintf("test-%d", index), Labels: labels,
		Entrypoint: p.Entrypoint, Command: p.Args, Env: env, Networks: []daemon.Attachment{{Network: t.network()}},
		Init: true, CapDrop: []string{"ALL"}, Limits: limits, NoLog: true, StopGrace: container.StopGrace,
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// nodeOut is where a node writes: line by line, without those that tell how far it is.
type nodeOut struct {
	to     *shown
	mark   string
	prefix string

	mu     sync.Mutex
	line   []byte
	where  string // setup, refused or test; empty: nothing was started
	report []byte // that is being printed; nil: none is
	met    string // a limit that a line tells of; empty: none
	tests  cases
}

// limits are what lines say that tell of one which only they tell of.
var limits = []struct{ line, met string }{
	{"Resource temporarily unavailable", "it met the limit of processes that run at once"},
	{"No space left on device", "the disk was full"},
}

// maxReport bounds what is read of one report, in bytes.
const maxReport = 4 << 20

// Write never fails.
func (o *nodeOut) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line = append(o.line, p...)
	rest := o.line
	for {
		n := bytes.IndexByte(rest, '\n') + 1
		if n == 0 && len(rest) < maxLine {
			break
		}
		if n == 0 || n > maxLine {
			n = maxLine
		}
		o.put(rest[:n])
		rest = rest[n:]
	}
	o.line = append(o.line[:0], rest...)
	return len(p), nil
}

// put takes a line with its end, or a part of one that is long.
func (o *nodeOut) put(line []byte) {
	where, isMark := bytes.CutPrefix(bytes.TrimSpace(line), []byte(o.mark))
	switch {
	case isMark && string(where) == "report":
		o.report = []byte{}
	case isMark && string(where) == "end":
		o.tests.junit(o.report)
		o.report = nil
	case isMark:
		o.where = string(where)
	case o.report != nil:
		o.report = append(o.report, line[:min(len(line), maxReport-len(o.report))]...)
	default:
		line = bytes.TrimRight(line, "\r\n")
		o.tests.line(line)
		for _, l := range limits {
			if o.met == "" && bytes.Contains(line, []byte(l.line)) {
				o.met = l.met
			}
		}
		o.to.say(o.prefix, line)
	}
}

func (o *nodeOut) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.line) > 0 {
		o.put(o.line)
	}
	o.line = nil
}

func (o *nodeOut) at() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.where
}

// script names the script that runs.
func (o *nodeOut) script() string {
	if o.at() == "setup" {
		return "the test-setup script"
	}
	return "the tests"
}
