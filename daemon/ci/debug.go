package ci

import (
	"context"
	"errors"
	"fmt"
	"io"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/work"
)

// Debug has a run hand its user a shell in place of the tests.
type Debug struct {
	NoSetup  bool
	Terminal string // what kind the user's is; empty: nobody knows
	Ready    func() // is called before the streams are the shell's
	Streams  daemon.Streams
}

// debugging runs the setup script, and a shell though that fails: that may be why somebody looks.
const debugging = `[ -z "$TOWLINE_TEST_SETUP" ] || /bin/sh -c "$TOWLINE_TEST_SETUP" || echo "test-setup ended with exit code $?"; ` +
	`mkdir -p "$CI_REPORTS" 2>/dev/null; if command -v bash >/dev/null 2>&1; then exec bash; else exec /bin/sh; fi`

// Debug carries out a request for a shell where the tests of an earlier run were; number 0 is the
// newest. It ends with the shell, or with ctx.
func (ts *Tests) Debug(ctx context.Context, req Request, number int, out io.Writer) (daemon.TestRun, error) {
	return ts.again(ctx, req, number, out)
}

// debugNode is runNodes for a run of one node that its user has a shell in. What that shows may be
// secrets, and is kept nowhere.
func (t *testRun) debugNode(ctx context.Context, built daemon.BuildResult, services []service) error {
	if err := t.to(ctx, daemon.TestDebugging); err != nil {
		return err
	}
	spec := t.nodeSpec(0, apps.ShellLine(built, debugging), services)
	spec.Terminal, spec.Stdin = t.debug.Streams.Terminal, t.debug.Streams.Stdin != nil
	if t.debug.NoSetup {
		delete(spec.Env, "TOWLINE_TEST_SETUP")
	}
	if t.debug.Terminal != "" && spec.Terminal {
		spec.Env["TERM"] = t.debug.Terminal
	}
	if err := t.Containers.Create(ctx, spec); err != nil {
		return err
	}
	work.Stage(t.out, "A shell for %s at most; the tests are run by: %s", t.Timeout, t.plan.test)
	if t.debug.Ready != nil {
		t.debug.Ready()
	}
	limited, cancel := context.WithTimeoutCause(ctx, t.Timeout, errTooLong)
	defer cancel()
	n := daemon.TestNode{Status: daemon.TestCancelled}
	var err error
	n.ExitCode, err = t.Engine.RunAttached(limited, spec.Name, t.debug.Streams)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(context.Cause(limited), errTooLong):
		n.ExitCode, n.Error = 124, fmt.Sprintf("the shell was ended after %s", t.Timeout)
	case err != nil:
		return err
	}
	t.Nodes[0] = n
	return nil
}
