package command

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/ci"
)

// testRefs begin the references whose push has tests run.
const testRefs = "refs/ci/"

func testCommands() []*Command {
	return []*Command{
		{Name: "ci", Summary: "list test runs", On: on(theApp(daemon.View)), Run: runCI,
			Help: fmt.Sprintf("The newest %d are kept. Each was pushed, to a branch of refs/ci, or sent by ci:run.\n\n", daemon.KeptTests) +
				"  git push towline HEAD:refs/ci/my-branch\n  towline ci -a shop"},
		{Name: "ci:run", Summary: "run the tests of a tar of source from standard input", Stream: Progress, On: on(theApp(daemon.Deploy)),
			Help: "Builds the source, starts add-ons of its own for it, and runs the tests as app.json says: see docs/ci.md. Nothing\n" +
				"is deployed, and nothing is left of it. Its exit code is that of the tests.\n\n" +
				"  git archive HEAD | towline ci:run -a shop --branch my-branch",
			Flags: func(f *pflag.FlagSet) {
				f.String("branch", "main", "what the tests are told of where the source comes from")
				f.String("commit", "", "likewise, its full id")
			},
			Run: func(ctx context.Context, call *Call) (Result, error) {
				branch, _ := call.Flags.GetString("branch")
				commit, _ := call.Flags.GetString("commit")
				if strings.Trim(commit, "0123456789abcdef") != "" || len(commit) > 64 {
					return Result{}, daemon.Errorf(daemon.Invalid, "%q is not the id of a commit", clip(commit)).WithHint("--commit $(git rev-parse HEAD)")
				}
				return runTests(ctx, call, ci.Request{App: call.App, Member: call.Member, Branch: branch, Commit: commit, Source: call.input("a tar of the source")})
			}},
		{Name: "ci:info", Args: "[N]", Summary: "show a test run", Max: 1, On: on(theApp(daemon.View)), Run: runCIInfo,
			Help: "Shows the newest run, or run N, with its nodes.\n\n  towline ci:info 7 -a shop"},
		{Name: "ci:output", Args: "[N]", Summary: "show what a test run wrote", Max: 1, On: on(theApp(daemon.View)), Run: runCIOutput,
			Help: "Shows what is kept of the newest run, or of run N: of much output the end. The passwords of its add-ons and the\n" +
				"values of its config vars are shown by their names alone.\n\n  towline ci:output 7 -a shop"},
		{Name: "ci:rerun", Args: "[N]", Summary: "run the tests of the same source again", Max: 1, Stream: Progress, On: on(theApp(daemon.Deploy)),
			Help: fmt.Sprintf("Takes the source of the newest run, or of run N, as long as it is kept: that of the newest %d.\n\n", ci.KeptSources) +
				"  towline ci:rerun 7 -a shop",
			Run: func(ctx context.Context, call *Call) (Result, error) {
				number, err := call.runNumber()
				if err != nil {
					return Result{}, err
				}
				run, err := call.Tests.Rerun(ctx, call.App, call.Member, number, call.Stdout)
				return call.tested(run, err)
			}},
		{Name: "ci:cancel", Args: "[N]", Summary: "end a test run that goes on", Max: 1, On: on(theApp(daemon.Deploy)), Run: runCICancel,
			Help: "Ends the newest run, or run N, and returns once nothing of it is left.\n\n  towline ci:cancel -a shop"},
	}
}

// runNumber reads "7"; 0 when none was given.
func (call *Call) runNumber() (int, error) {
	if len(call.Args) == 0 {
		return 0, nil
	}
	n, err := strconv.Atoi(call.Args[0])
	if err != nil || n < 1 {
		return 0, daemon.Errorf(daemon.Invalid, "%q is not a test run", clip(call.Args[0])).WithHint("write it like 12; towline ci -a %s lists them", call.App)
	}
	return n, nil
}

// runTests carries out a test run, whose exit code is that of its worst node.
func runTests(ctx context.Context, call *Call, req ci.Request) (Result, error) {
	run, err := call.Tests.Run(ctx, req, call.Stdout)
	return call.tested(run, err)
}

func (call *Call) tested(run daemon.TestRun, err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	result := Result{Value: run, Code: ci.ExitCode(run), Text: func(w io.Writer) { fmt.Fprintf(w, "-----> %s\n", ci.Says(run)) }}
	if run.Status != daemon.TestSucceeded {
		result.Warnings = append(result.Warnings, fmt.Sprintf("to see it again: towline ci:output %d -a %s", run.Number, run.App))
	}
	return result, nil
}

func runCI(ctx context.Context, call *Call) (Result, error) {
	list, err := call.Tests.Runs(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	return show(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintf(w, "No tests of %s have run yet: git push towline HEAD:refs/ci/BRANCH\n", call.App)
			return
		}
		table(w, func(row func(...any)) {
			row("RUN", "STATUS", "BRANCH", "COMMIT", "TOOK", "BY", "WHEN")
			for _, r := range list {
				row(r.Number, r.Status, clip(r.Branch), r.Commit[:min(8, len(r.Commit))], lasted(ci.Took(r)), by(r.Member), ago(r.Created))
			}
		})
	})
}

func runCIInfo(ctx context.Context, call *Call) (Result, error) {
	number, err := call.runNumber()
	if err != nil {
		return Result{}, err
	}
	r, err := call.Tests.TestRun(ctx, call.App, number)
	if err != nil {
		return Result{}, err
	}
	return show(r, func(w io.Writer) {
		fmt.Fprintf(w, "=== Test run %d of %s\nstatus: %s\nbranch: %s\n", r.Number, r.App, r.Status, daemon.Printable(r.Branch))
		if r.Commit != "" {
			fmt.Fprintf(w, "commit: %s %s\n", r.Commit, daemon.Printable(r.Subject))
		}
		if r.Error != "" {
			fmt.Fprintf(w, "reason: %s\n", r.Error)
		}
		fmt.Fprintf(w, "begun:  %s, by %s\ntook:   %s\n", ago(r.Created), daemon.Who(r.Member), lasted(ci.Took(r)))
		for _, n := range r.Nodes {
			for _, c := range n.Failing {
				fmt.Fprintf(w, "failed: %s\n", c.Name)
				if c.Message != "" {
					fmt.Fprintf(w, "        %s\n", strings.ReplaceAll(c.Message, "\n", "\n        "))
				}
			}
		}
		table(w, func(row func(...any)) {
			row("NODE", "STATUS", "TESTS", "EXIT", "REASON")
			for _, n := range r.Nodes {
				row(n.Index, n.Status, counted(n), orElse(n.Status == daemon.TestSucceeded || n.Status == daemon.TestFailed, func() string { return strconv.Itoa(n.ExitCode) }, ""), n.Error)
			}
		})
	})
}

// counted are the tests of a node, as far as they were told one by one.
func counted(n daemon.TestNode) string {
	text := ""
	for _, c := range []struct {
		n    int
		what string
	}{{n.Passed, "passed"}, {n.Failed, "failed"}, {n.Skipped, "skipped"}} {
		if c.n > 0 {
			text += fmt.Sprintf(", %d %s", c.n, c.what)
		}
	}
	return strings.TrimPrefix(text, ", ")
}

func runCIOutput(ctx context.Context, call *Call) (Result, error) {
	number, err := call.runNumber()
	if err != nil {
		return Result{}, err
	}
	var text strings.Builder // of bounded size
	r, err := call.Tests.Output(ctx, call.App, number, func(l daemon.LogLine) error {
		text.WriteString(l.Text + "\n")
		return nil
	})
	if err != nil {
		return Result{}, err
	}
	if !r.Status.Ended() {
		warn(call.Stderr, fmt.Sprintf("test run %d goes on; to see it: towline logs -t --source test -a %s", r.Number, call.App))
	}
	return show(text.String(), func(w io.Writer) { fmt.Fprint(w, text.String()) })
}

func runCICancel(ctx context.Context, call *Call) (Result, error) {
	number, err := call.runNumber()
	if err != nil {
		return Result{}, err
	}
	r, err := call.Tests.Cancel(ctx, call.App, call.Member, number)
	if err != nil {
		return Result{}, err
	}
	return show(r, func(w io.Writer) { fmt.Fprintf(w, "Test run %d of %s is cancelled\n", r.Number, r.App) })
}
