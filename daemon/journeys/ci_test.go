package journeys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/ci"
	"towline/daemon/memory"
)

// tests is a node of a test run, whose scripts are lines of: exit N; fail INDEX N, which is
// the exit code of that node alone; hang; env NAME...; flood; daemonless.
func tests(p memory.Process) int {
	if strings.Contains(p.Args[len(p.Args)-1], "exec bash") { // a shell, in which somebody runs the tests
		return testScript(p, p.Env["TOWLINE_TEST"])
	}
	mark := p.Env["HEROKU_TEST_RUN_ID"]
	for _, script := range [][2]string{{"setup", p.Env["TOWLINE_TEST_SETUP"]}, {"test", p.Env["TOWLINE_TEST"]}} {
		if script[1] == "" {
			continue
		}
		fmt.Fprintf(p.Stdout, "%s %s\n", mark, script[0])
		if code := testScript(p, script[1]); code != 0 {
			if script[0] == "setup" {
				fmt.Fprintf(p.Stdout, "\n%s refused\n", mark)
			}
			return code
		}
	}
	return 0
}

func testScript(p memory.Process, script string) (code int) {
	for line := range strings.SplitSeq(script, ";") {
		words := strings.Fields(line)
		switch words[0] {
		case "exit":
			code, _ = strconv.Atoi(words[1])
		case "fail":
			if words[1] == p.Env["CI_NODE_INDEX"] {
				code, _ = strconv.Atoi(words[2])
			}
		case "hang":
			return wait(p)
		case "env":
			for _, name := range words[1:] {
				fmt.Fprintf(p.Stdout, "%s=%s\n", name, p.Env[name])
			}
		case "flood":
			for range 20 << 4 {
				fmt.Fprintln(p.Stdout, strings.Repeat("x", 64<<10))
			}
		case "say":
			fmt.Fprintln(p.Stdout, strings.Join(words[1:], " "))
		}
	}
	return code
}

// tested is source whose tests are that script.
func tested(script string) []byte {
	return archive(map[string]string{"version": "one", "app.json": `{"scripts": {"test": "` + script + `"}}`})
}

// wholeTests asks for everything that a run may have.
func wholeTests(script string) []byte {
	return archive(map[string]string{"version": "one", "app.json": `{"addons": ["store"], "environments": {"test": {
		"env": {"A": "1", "TOKEN": {"generator": "secret"}}, "addons": ["store", {"plan": "store:per-node", "as": "OWN"}],
		"formation": {"test": {"quantity": 2}}, "scripts": {"test-setup": "say preparing", "test": "` + script + `"}}}}`})
}

// lastTests is new if the newest run has succeeded.
func lastTests(_ *world, s state) string {
	if len(s.tests) > 0 && s.tests[0].Status == daemon.TestSucceeded {
		return isNew
	}
	return isOld
}

// inCI is a world with the pipeline of shop.
func inCI(t *testing.T, f func(w *world, l *life)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		base(w, l)
		w.must(l.pipeline(t.Context(), "line", map[string]daemon.Stage{"shop": daemon.StageStaging}))
		w.settle()
		f(w, l)
		w.settle()
		for _, fault := range w.faultsFound(l) {
			w.t.Error(fault)
		}
	})
}

// ran runs tests, and returns what was shown.
func (l *life) ran(t *testing.T, source []byte) (daemon.TestRun, string) {
	t.Helper()
	var out bytes.Buffer
	run, err := l.Tests.Run(t.Context(), ci.Request{App: "shop", Branch: "topic/x", Commit: "0123456789abcdef", Subject: "say it", Source: bytes.NewReader(source)}, &out)
	if err != nil {
		t.Fatal(err)
	}
	return run, out.String()
}

func TestTestRunHasItsOwn(t *testing.T) {
	inCI(t, func(w *world, l *life) {
		t := w.t
		run, out := l.ran(t, wholeTests("env CI CI_NODE_INDEX CI_NODE_TOTAL HEROKU_TEST_RUN_NUMBER HEROKU_TEST_RUN_BRANCH HEROKU_TEST_RUN_COMMIT_VERSION A STORE_URL OWN_URL TOKEN COLOUR"))
		if run.Status != daemon.TestSucceeded || run.Number != 1 || run.Pipeline != "line" || len(run.Nodes) != 2 {
			t.Errorf("%+v", run)
		}
		for _, want := range []string{
			"[0] preparing", "[1] preparing", "[0] CI=true", "[0] CI_NODE_INDEX=0", "[1] CI_NODE_INDEX=1", "[0] CI_NODE_TOTAL=2", "[0] HEROKU_TEST_RUN_NUMBER=1",
			"[0] HEROKU_TEST_RUN_BRANCH=topic/x", "[0] HEROKU_TEST_RUN_COMMIT_VERSION=0123456789abcdef", "[0] A=1", "[0] STORE_URL=[STORE_URL]", "[1] STORE_URL=[STORE_URL]",
			"[0] OWN_URL=[OWN_URL]", "[0] TOKEN=[TOKEN]", "-----> Creating store (store 1), with its data in memory", "[0] COLOUR=\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("there is no %q in:\n%s", want, out)
			}
		}
		if strings.Contains(out, "store://") || strings.Contains(out, run.ID+" test") {
			t.Errorf("a secret, or a mark, is shown:\n%s", out)
		}
		if apps, _ := l.Apps.List(t.Context(), ""); len(apps) != 2 {
			t.Errorf("a run is listed among the apps: %+v", apps)
		}
		if len(w.state(l).addons) != 1 {
			t.Errorf("a run's add-ons are listed: %+v", w.state(l).addons)
		}
	})
}

func TestTestRunOutcomes(t *testing.T) {
	plain := func(test, setup string) []byte {
		return archive(map[string]string{"version": "one", "app.json": `{"scripts": {"test": "` + test + `", "test-setup": "` + setup + `"}}`})
	}
	for name, c := range map[string]struct {
		source []byte
		status daemon.TestStatus
		code   int
		says   string
	}{
		"good":               {plain("exit 0", ""), daemon.TestSucceeded, 0, "Test run 1 succeeded after"},
		"bad":                {plain("exit 3", ""), daemon.TestFailed, 3, "the tests ended with exit code 3"},
		"a bad setup":        {plain("exit 0", "exit 4"), daemon.TestErrored, 4, "the test-setup script ended with exit code 4"},
		"one bad node":       {wholeTests("fail 1 7"), daemon.TestFailed, 7, "the tests ended with exit code 7"},
		"the worst of two":   {wholeTests("fail 0 2; fail 1 9"), daemon.TestFailed, 9, "exit code"},
		"one that hangs":     {plain("hang", ""), daemon.TestFailed, 124, "the tests did not end within 1h0m0s and was killed"},
		"a setup that hangs": {plain("exit 0", "hang"), daemon.TestFailed, 124, "the test-setup script did not end within 1h0m0s and was killed"},
		"much output":        {plain("flood", ""), daemon.TestSucceeded, 0, "What follows is not shown: a run may write"},
		"no build":           {archive(map[string]string{"app.json": `{"scripts": {"test": "exit 0"}}`}), daemon.TestErrored, 1, "was errored"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inCI(t, func(w *world, l *life) {
				run, out := l.ran(w.t, c.source)
				if run.Status != c.status || ci.ExitCode(run) != c.code || !strings.Contains(out+ci.Says(run), c.says) {
					if len(out) > 2000 {
						out = out[len(out)-2000:]
					}
					w.t.Errorf("%s, exit code %d, want %s, %d and %q: %+v\n%s", run.Status, ci.ExitCode(run), c.status, c.code, c.says, run, out)
				}
				if len(out) > 17<<20 {
					w.t.Errorf("%d bytes are shown", len(out))
				}
			})
		})
	}
}

// What is refused is no run, and leaves nothing.
func TestTestRunRefused(t *testing.T) {
	inCI(t, func(w *world, l *life) {
		appJSON := func(text string) []byte { return archive(map[string]string{"version": "one", "app.json": text}) }
		for name, c := range map[string]struct {
			app, branch string
			source      []byte
			want        string
		}{
			"an app of no pipeline": {"other", "x", tested("exit 0"), "other is in no pipeline"},
			"no app":                {"nobody", "x", tested("exit 0"), "there is no app"},
			"no branch":             {"shop", "", tested("exit 0"), "not the name of a branch"},
			"a branch of controls":  {"shop", "a\x1bb", tested("exit 0"), "not the name of a branch"},
			"a branch too long":     {"shop", strings.Repeat("x", 1001), tested("exit 0"), "not the name of a branch"},
			"no test command":       {"shop", "x", archive(map[string]string{"version": "one"}), "does not say how its tests are run"},
			"no source":             {"shop", "x", archive(nil), "holds no files"},
			"a broken app.json":     {"shop", "x", appJSON(`{"environments": {"test": []}}`), "environments.test is not an object"},
			"two of one":            {"shop", "x", appJSON(`{"scripts": {"test": "x"}, "addons": ["store", "store"]}`), "store sets STORE_URL, as store does"},
			"no such plan":          {"shop", "x", appJSON(`{"scripts": {"test": "x"}, "addons": ["store:huge"]}`), `store has no plan "huge"`},
		} {
			_, err := l.Tests.Run(w.t.Context(), ci.Request{App: c.app, Branch: c.branch, Source: bytes.NewReader(c.source)}, io.Discard)
			var e *daemon.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || e.Hint == "" {
				w.t.Errorf("%s: %v, want %q and a hint", name, err, c.want)
			}
		}
		if runs := w.state(l).tests; len(runs) > 0 {
			w.t.Errorf("what was refused is recorded: %+v", runs)
		}
	})
}

// Branches are called what people like.
func TestTestRunOfOddBranches(t *testing.T) {
	inCI(t, func(w *world, l *life) {
		for _, branch := range []string{"feature/a/b", "größe-日本", strings.Repeat("b", 200), "-x", "a'b\"$(id)"} {
			run, err := l.Tests.Run(w.t.Context(), ci.Request{App: "shop", Branch: branch, Source: bytes.NewReader(tested("exit 0"))}, io.Discard)
			if err != nil || run.Status != daemon.TestSucceeded || w.state(l).tests[0].Branch != branch {
				w.t.Errorf("%q: %+v, %v", branch, run, err)
			}
		}
	})
}

// As many as may at once go on, the others wait and are told; each can be cancelled wherever it is.
func TestTestRunsWaitAndAreCancelled(t *testing.T) {
	inCI(t, func(w *world, l *life) {
		type ended struct {
			run daemon.TestRun
			out string
		}
		all := make(chan ended)
		for range 3 {
			go func() {
				run, out := l.ran(w.t, tested("hang"))
				all <- ended{run, out}
			}()
			time.Sleep(time.Minute)
		}
		status := func() (text string) {
			for _, r := range w.state(l).tests {
				text += string(r.Status) + " "
			}
			return text
		}
		if got := status(); got != "pending running running " {
			w.t.Errorf("they are %s", got)
		}
		for _, n := range []int{3, 1, 0} { // 0: the newest
			if n == 0 {
				if _, err := l.Tests.Cancel(w.t.Context(), "shop", "", 0); !daemon.IsKind(err, daemon.Conflict) || !strings.Contains(err.Error(), "been cancelled already") {
					w.t.Errorf("cancelled twice: %v", err)
				}
				n = 2
			}
			run, err := l.Tests.Cancel(w.t.Context(), "shop", "", n)
			if err != nil || run.Status != daemon.TestCancelled || run.Number != n {
				w.t.Errorf("cancel %d: %+v, %v", n, run, err)
			}
			e := <-all
			if e.run.Status != daemon.TestCancelled || e.run.Number != n || n == 3 != strings.Contains(e.out, "Waiting: 2 test runs go on") {
				w.t.Errorf("cancelled %d: %+v\n%s", n, e.run, e.out)
			}
		}
	})
}

// A run ends with its app.
func TestTestRunOfAnAppThatIsDestroyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		ctx := t.Context()
		w.must(l.createApp(ctx, "shop"))
		w.must(l.pipeline(ctx, "line", map[string]daemon.Stage{"shop": daemon.StageStaging}))
		ended := make(chan error, 1)
		go func() { ended <- l.test(context.WithoutCancel(ctx), "shop", wholeTests("hang")) }()
		time.Sleep(time.Minute)
		w.must(l.destroyApp(ctx, "shop"))
		if err := <-ended; err == nil {
			t.Error("the tests of an app that is gone succeeded")
		}
		w.settle()
		for _, fault := range w.faultsFound(l) {
			t.Error(fault)
		}
	})
}

// The same source can be tested again, as long as it is kept.
func TestTestRunAgain(t *testing.T) {
	inCI(t, func(w *world, l *life) {
		ctx := w.t.Context()
		if _, err := l.Tests.Rerun(ctx, "shop", "", 0, io.Discard); !daemon.IsKind(err, daemon.NotFound) {
			w.t.Errorf("without any: %v", err)
		}
		first, _ := l.ran(w.t, tested("exit 3"))
		again, err := l.Tests.Rerun(ctx, "shop", "", 1, io.Discard)
		if err != nil || again.Number != 2 || again.Status != daemon.TestFailed || again.ID == first.ID || again.Branch != first.Branch || again.Commit != first.Commit || again.Subject != first.Subject {
			w.t.Errorf("%+v, %v", again, err)
		}
		for range ci.KeptSources - 1 {
			l.ran(w.t, tested("exit 0"))
		}
		if _, err := l.Tests.Rerun(ctx, "shop", "", 1, io.Discard); !daemon.IsKind(err, daemon.Conflict) || !strings.Contains(err.Error(), "the source of test run 1 is not kept") {
			w.t.Errorf("of what is not kept: %v", err)
		}
	})
}

// Tests that are told one by one are counted, and those that fail are named.
func TestTestRunCases(t *testing.T) {
	inCI(t, func(w *world, l *life) {
		run, out := l.ran(w.t, tested("say ok 1 - adds; say not ok 2 - takes away; say # got 3; exit 1"))
		want := daemon.TestNode{Status: daemon.TestFailed, ExitCode: 1, Error: "the tests ended with exit code 1", Passed: 1, Failed: 1, Failing: []daemon.TestCase{{Name: "takes away", Message: "got 3"}}}
		if !reflect.DeepEqual(run.Nodes, []daemon.TestNode{want}) || !reflect.DeepEqual(w.state(l).tests[0].Nodes, run.Nodes) {
			w.t.Errorf("%+v", run.Nodes)
		}
		if !strings.Contains(out, "1 of 2 tests failed:\n !     takes away: got 3\n") {
			w.t.Errorf("shown:\n%s", out)
		}
	})
}

// With ci:on a push is deployed only if its tests succeed, which run once for each commit.
func TestTestsFirst(t *testing.T) {
	inCI(t, func(w *world, l *life) {
		ctx := w.t.Context()
		if err := l.Tests.SetFirst(ctx, "other", "", true); !daemon.IsKind(err, daemon.Conflict) {
			w.t.Errorf("for an app of no pipeline: %v", err)
		}
		w.must(l.Tests.SetFirst(ctx, "shop", "", true))
		push := func(commit, version, script string) (string, error) {
			var out bytes.Buffer
			source := archive(map[string]string{"Procfile": "web: serve\nworker: work\n", "version": version, "app.json": `{"scripts": {"test": "` + script + `"}}`})
			_, err := l.Tests.Deploy(ctx, apps.DeployRequest{App: "shop", Commit: commit, Source: bytes.NewReader(source)}, "main", &out)
			return out.String(), err
		}
		out, err := push("aaaaaaaaaaaa", "two", "say not ok 1 - adds; exit 1")
		if !daemon.IsKind(err, daemon.Failed) || !strings.Contains(err.Error(), "nothing is deployed, as the tests have not succeeded: Test run 1 failed") || !strings.Contains(out, "1 of 1 tests failed:\n !     adds") {
			w.t.Errorf("a red one: %v\n%s", err, out)
		}
		if got := w.versionOf(w.state(l), "shop"); got != "one" {
			w.t.Errorf("after a red one it serves %s", got)
		}
		if out, err = push("bbbbbbbbbbbb", "two", "exit 0"); err != nil || w.versionOf(w.state(l), "shop") != "two" {
			w.t.Errorf("a green one: %v\n%s", err, out)
		}
		w.must(l.rollback(ctx, "shop"))
		if out, err = push("bbbbbbbbbbbb", "two", "exit 0"); err != nil || !strings.Contains(out, "Tests of bbbbbbbb have succeeded in run 2") || len(w.state(l).tests) != 2 {
			w.t.Errorf("the same again: %v\n%s", err, out)
		}
		w.must(l.Tests.SetFirst(ctx, "shop", "", false))
		if out, err = push("cccccccccccc", "three", "exit 1"); err != nil || w.versionOf(w.state(l), "shop") != "three" {
			w.t.Errorf("switched off: %v\n%s", err, out)
		}
	})
}

// Test runs have config vars of their own, which come before those of the source.
func TestTestConfig(t *testing.T) {
	inCI(t, func(w *world, l *life) {
		ctx := w.t.Context()
		w.must(l.Tests.SetConfig(ctx, apps.ConfigChange{App: "shop", Set: map[string]string{"A": "of-the-sandbox", "B": "2"}}))
		w.must(l.Tests.SetConfig(ctx, apps.ConfigChange{App: "shop", Unset: []string{"B"}}))
		for _, c := range []apps.ConfigChange{{App: "shop", Set: map[string]string{"CI_NODE_INDEX": "1"}}, {App: "shop", Set: map[string]string{"A B": "1"}}, {App: "shop", Unset: []string{"B"}}, {App: "shop", Set: map[string]string{"A": "\x00"}}} {
			if err := l.Tests.SetConfig(ctx, c); err == nil {
				w.t.Errorf("%+v was taken", c)
			}
		}
		run, out := l.ran(w.t, wholeTests("env A B"))
		if run.Status != daemon.TestSucceeded || !strings.Contains(out, "[0] A=[A]\n[0] B=\n") || strings.Contains(out, "sandbox") {
			w.t.Errorf("%+v\n%s", run, out)
		}
		if a, _ := w.state(l).app("shop"); a.Config["A"] != "" {
			w.t.Errorf("the app has it too: %v", a.Config)
		}
		vars, err := l.Tests.ReadConfig(ctx, "shop", "")
		if err != nil || len(vars) != 1 || vars["A"] != "of-the-sandbox" {
			w.t.Errorf("%v, %v", vars, err)
		}
	})
}

// A shell is where the tests were, and ends with its user, without being of any commit that is green.
func TestTestRunIsDebugged(t *testing.T) {
	inCI(t, func(w *world, l *life) {
		l.ran(w.t, tested("exit 3"))
		ready := false
		var shell, out bytes.Buffer
		debug := &ci.Debug{Ready: func() { ready = true }, Streams: daemon.Streams{Stdin: strings.NewReader(""), Stdout: &shell, Stderr: &shell}}
		run, err := l.Tests.Debug(w.t.Context(), ci.Request{App: "shop", Debug: debug}, 1, &out)
		if err != nil || !ready || run.Number != 2 || run.Status != daemon.TestCancelled || !strings.Contains(out.String(), "A shell for 1h0m0s at most; the tests are run by: exit 3") {
			w.t.Errorf("%+v, %v\n%s", run, err, &out)
		}
		l.ran(w.t, tested("hang"))
		ctx, leave := context.WithCancel(w.t.Context())
		time.AfterFunc(time.Minute, leave)
		if run, err = l.Tests.Debug(ctx, ci.Request{App: "shop", Debug: debug}, 3, io.Discard); err != nil || run.Status != daemon.TestCancelled {
			w.t.Errorf("its user has left: %+v, %v", run, err)
		}
	})
}

// What fills the disk is ended before others suffer.
func TestTestRunThatFillsTheDisk(t *testing.T) {
	inCI(t, func(w *world, l *life) {
		time.AfterFunc(10*time.Second, func() { w.full.Store(true) })
		run, out := l.ran(w.t, tested("hang"))
		if run.Status != daemon.TestFailed || ci.ExitCode(run) != 137 || !strings.Contains(ci.Says(run), "the disk of /var has less free than has to stay so") || ci.Took(run) > time.Minute {
			w.t.Errorf("%+v\n%s", run, out)
		}
	})
}
