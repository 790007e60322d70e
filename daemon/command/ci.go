package command

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/apps"
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
			},
			Run: func(ctx context.Context, call *Call) (Result, error) {
				branch, _ := call.Flags.GetString("branch")
				return runTests(ctx, call, ci.Request{App: call.App, Member: call.Member, Branch: branch, Source: call.input("a tar of the source")})
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
				return tested(run, err)
			}},
		{Name: "ci:debug", Args: "[N]", Summary: "a shell in place of the tests, in the same container", Max: 1, Stream: Bytes, On: on(theApp(daemon.Operate)), Run: runCIDebug,
			Flags: func(f *pflag.FlagSet) { f.Bool("no-setup", false, "without the test-setup script") },
			Help: "Makes all that the newest run, or run N, had: its image, its add-ons, its config vars. test-setup runs, then there is a\n" +
				"shell. It ends, and all of it is gone, when the shell ends, you hang up, or an hour is over.\n\n  towline ci:debug 7 -a shop        (with ssh -t)"},
		{Name: "ci:cancel", Args: "[N]", Summary: "end a test run that goes on", Max: 1, On: on(theApp(daemon.Deploy)), Run: runCICancel,
			Help: "Ends the newest run, or run N, and returns once nothing of it is left.\n\n  towline ci:cancel -a shop"},
		{Name: "ci:on", Summary: "deploy a push only once its tests have succeeded", On: on(theApp(daemon.Manage)), Run: runCISwitch(true),
			Help: "A push to the app has its tests run first, unless they have succeeded for that commit already. If they fail, the push\n" +
				"is refused with what failed, and what serves serves on. Rollbacks, promotions and config changes run no tests."},
		{Name: "ci:off", Summary: "deploy pushes without tests", On: on(theApp(daemon.Manage)), Run: runCISwitch(false)},
		{Name: "ci:config", Summary: "list the config vars of test runs", On: on(theApp(daemon.Operate)),
			Run: func(ctx context.Context, call *Call) (Result, error) {
				vars, err := call.Tests.ReadConfig(ctx, call.App, call.Member)
				if err != nil {
					return Result{}, err
				}
				return show(vars, func(w io.Writer) {
					fmt.Fprintf(w, "=== %s Test Config Vars\n", call.App)
					table(w, func(row func(...any)) {
						for _, key := range daemon.SortedKeys(vars) {
							row(key+":", strings.ReplaceAll(vars[key], "\n", "\\n"))
						}
					})
				})
			}},
		{Name: "ci:config:get", Args: "KEY", Summary: "print one config var of test runs", Min: 1, Max: 1, On: on(theApp(daemon.Operate)),
			Run: func(ctx context.Context, call *Call) (Result, error) {
				vars, err := call.Tests.ReadConfig(ctx, call.App, call.Member, call.Args[0])
				if err != nil {
					return Result{}, err
				}
				value, ok := vars[call.Args[0]]
				if !ok {
					return Result{}, daemon.Errorf(daemon.NotFound, "the tests of %s have no config var %q", call.App, clip(call.Args[0])).WithHint("towline ci:config -a %s", call.App)
				}
				return show(value, func(w io.Writer) { fmt.Fprintln(w, value) })
			}},
		{Name: "ci:config:set", Args: "KEY=value [...]", Summary: "set config vars of test runs", Min: 1, Max: -1, On: on(theApp(daemon.Operate)),
			Help: "The next runs have them. They come before those of the source, and are never the app's own.\n\n  towline ci:config:set API_KEY=of-a-sandbox -a shop",
			Run: func(ctx context.Context, call *Call) (Result, error) {
				set, err := assignments(call.Args)
				if err != nil {
					return Result{}, err
				}
				if err := call.Tests.SetConfig(ctx, apps.ConfigChange{App: call.App, Member: call.Member, Set: set}); err != nil {
					return Result{}, err
				}
				keys := daemon.SortedKeys(set)
				return did(object{"app": call.App, "set": keys}, "Set %s for tests of %s", strings.Join(keys, ", "), call.App)
			}},
		{Name: "ci:config:unset", Args: "KEY [...]", Summary: "remove config vars of test runs", Min: 1, Max: -1, On: on(theApp(daemon.Operate)),
			Run: func(ctx context.Context, call *Call) (Result, error) {
				if err := call.Tests.SetConfig(ctx, apps.ConfigChange{App: call.App, Member: call.Member, Unset: call.Args}); err != nil {
					return Result{}, err
				}
				return did(object{"app": call.App, "unset": call.Args}, "Removed %s from tests of %s", strings.Join(call.Args, ", "), call.App)
			}},
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
	return tested(run, err)
}

func tested(run daemon.TestRun, err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	result := Result{Value: run, Code: ci.ExitCode(run), Text: func(w io.Writer) { fmt.Fprintf(w, "-----> %s\n", ci.Says(run)) }}
	if run.Status != daemon.TestSucceeded {
		result.Warnings = append(result.Warnings, fmt.Sprintf("to see it again: towline ci:output %d -a %s", run.Number, run.App))
	}
	return result, nil
}

func runCISwitch(on bool) func(context.Context, *Call) (Result, error) {
	return func(ctx context.Context, call *Call) (Result, error) {
		if err := call.Tests.SetFirst(ctx, call.App, call.Member, on); err != nil {
			return Result{}, err
		}
		text := "Pushes to %s are deployed without tests"
		if on {
			text = "Pushes to %s are deployed once their tests have succeeded"
		}
		return did(object{"app": call.App, "ci": on}, text, call.App)
	}
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

func runCIDebug(ctx context.Context, call *Call) (Result, error) {
	number, err := call.runNumber()
	if err != nil {
		return Result{}, err
	}
	debug := &ci.Debug{Terminal: call.Term, Ready: func() {
		if call.Terminal {
			call.Raw()
		}
	}, Streams: daemon.Streams{
		Stdin: call.Stdin, Stdout: call.Stdout, Stderr: call.Stderr, Terminal: call.Terminal, Size: call.Size, Resize: call.Resize,
	}}
	debug.NoSetup, _ = call.Flags.GetBool("no-setup")
	run, err := call.Tests.Debug(ctx, ci.Request{App: call.App, Member: call.Member, Debug: debug}, number, call.Stderr)
	if err != nil || len(run.Nodes) == 0 {
		return Result{}, err
	}
	return Result{Code: run.Nodes[0].ExitCode}, nil
}
