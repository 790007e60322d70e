package command

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/addons"
)

// filledBench has something for every listing to list.
func filledBench(t *testing.T) *bench {
	b := newBench(t)
	b.run(0, "apps:create", "shop")
	b.attachRedis("shop")
	b.run(0, "ci:config:set", "secret=x", "-a", "shop")
	now := time.Now().UTC()
	b.write(
		func(tx daemon.Tx) error {
			return tx.InsertRelease(&daemon.Release{App: "shop", Status: daemon.ReleaseGood, Description: "Deploy", Created: now, Commit: "0123", Image: "sha256:1",
				Kind: "dockerfile", Processes: map[string]daemon.Process{"web": {Command: "serve", Entrypoint: []string{"sh"}, Args: []string{"-c"}}},
				Health: daemon.Health{Path: "/up", Status: []int{200}, Timeout: time.Second, Deadline: time.Minute}, Output: "migrated\n", Error: "none"})
		},
		func(tx daemon.Tx) error {
			return tx.InsertBackup(daemon.Backup{ID: "redis-shop.1", Addon: "redis-shop", App: "shop", Service: "redis", Status: daemon.BackupGood, Reason: "manual",
				Created: now, Finished: now, Proven: now, Size: 5000, Stall: time.Millisecond, Facts: "3 keys", Error: "none",
				Detail: json.RawMessage(`{"dump": "x.rdb", "as_of": "2026-01-01T00:00:00Z"}`)})
		},
		func(tx daemon.Tx) error {
			return tx.PutSchedule(daemon.Schedule{Addon: "redis-shop", Cron: "0 3 * * *", Zone: "UTC", Keep: "7d", Last: now})
		},
		func(tx daemon.Tx) error {
			return tx.InsertBuild(&daemon.Build{App: "shop", Status: daemon.BuildFailed, Member: "alice", Commit: "0123", Created: now, Finished: now, Release: 2, Error: "none"})
		},
		func(tx daemon.Tx) error {
			return tx.InsertTestRun(&daemon.TestRun{App: "shop", ID: "abc", Pipeline: "safetow", Status: daemon.TestErrored, Member: "alice", Branch: "topic", Commit: "0123", Subject: "say it", Created: now, Finished: now, Error: "none",
				Nodes: []daemon.TestNode{{Status: daemon.TestErrored, ExitCode: 1, ErrorStatus: daemon.TestRunning, Error: "none"}}})
		},
		func(tx daemon.Tx) error { return tx.InsertMember(daemon.Member{Name: "alice", Created: now}) },
		func(tx daemon.Tx) error {
			return errors.Join(tx.InsertApp(daemon.App{Name: "live", Created: now, Formation: daemon.Formation{}}), tx.InsertPipeline(daemon.Pipeline{Name: "safetow", Created: now, Owner: "alice"}),
				tx.PutCoupling(daemon.Coupling{App: "shop", Pipeline: "safetow", Stage: daemon.StageStaging}),
				tx.PutCoupling(daemon.Coupling{App: "live", Pipeline: "safetow", Stage: daemon.StageProduction}))
		},
		func(tx daemon.Tx) error {
			return tx.InsertKey(daemon.MemberKey{Member: "alice", Key: "ssh-ed25519 AAAA", Fingerprint: "SHA256:x", Created: now})
		},
		func(tx daemon.Tx) error {
			view := []daemon.Permission{daemon.View}
			return errors.Join(tx.PutAccess(daemon.Access{App: "shop", Member: "alice", Permissions: view}),
				tx.PutPipelineAccess(daemon.PipelineAccess{Pipeline: "safetow", Stage: daemon.StageReview, Member: "alice", Permissions: view}),
				tx.PutPipelineAccess(daemon.PipelineAccess{Pipeline: "safetow", Member: "alice", Permissions: view}))
		},
		func(tx daemon.Tx) error {
			return tx.InsertDomain(daemon.Domain{App: "shop", Host: "www.example.org", Created: now})
		},
	)
	b.d.Logs.Write("shop", "system", "start", "hello")
	return b
}

// readers are the commands, as typed on filledBench, that list or show something; doers
// change something without a container.
var (
	readers = []string{
		"router -a shop", "builder -a shop", "ps:capabilities -a shop",
		"help", "commands", "version", "apps", "apps:info -a shop", "apps:open -a shop /cart", "config -a shop", "config:get -a shop REDISCLOUD_URL", "config:export -a shop",
		"ps -a shop", "ps:scale -a shop", "logs -a shop", "releases -a shop", "releases:info -a shop v2", "releases:output -a shop v2", "builds -a shop", "builds:output -a shop 1", "domains -a shop", "certs -a shop",
		"addons", "addons -a shop", "addons:services", "addons:plans redis", "addons:info redis-shop", "addons:logs redis-shop",
		"backups", "backups redis-shop", "backups:info redis-shop.1", "backups:schedules", "backups:check", "members", "access -a shop", "access --pipeline safetow", "plugins", "plugins:list",
		"pipelines", "pipelines:info safetow", "pipelines:diff -a shop", "ci -a shop", "ci:info -a shop", "ci:output -a shop", "ci:config -a shop", "ci:config:get secret -a shop",
		"host", "host:info", "host:doctor", "host:disk", "host:backup:info", "activity", "activity -a shop --kind app --since 2h --limit 1", "metrics -a shop --since 3d",
	}
	doers = []string{
		"apps:create blog", "addons:transfer redis-shop -a blog", "apps:deploy-branch -a shop trunk", "builder:set dockerfile --path deploy/Dockerfile --target app -a shop", "maintenance:on -a shop", "maintenance:off -a shop", "config:set -a shop KEY=1", "config:unset -a shop KEY",
		"backups:on-release on -a shop", "backups:schedule redis-shop 0 3 * * *", "backups:unschedule redis-shop", "domains:add -a shop a.example.org",
		"domains:redirect -a shop b.example.org a.example.org", "domains:remove -a shop b.example.org", "domains:remove -a shop a.example.org", "router:set -a shop body=1M allow=10.0.0.0/8", "router:unset -a shop body", "maintenance:page -a shop --default", "access:add alice -a shop", "access:update alice -a shop -p view", "access:remove alice -a shop",
		"access:add alice --pipeline safetow -p view,deploy", "access:update alice --pipeline safetow -p view", "access:add alice --pipeline safetow -s staging", "access:remove alice --pipeline safetow -s staging", "backups:delete redis-shop.1 --confirm redis-shop.1",
		"apps:rename -a blog journal", "pipelines:create line", "pipelines:add line -a journal --stage review", "ci:on -a journal", "ci:off -a journal", "ci:config:set API=1 -a journal", "ci:config:unset API -a journal", "pipelines:update -a journal --stage production", "pipelines:remove -a journal",
		"pipelines:rename line tow", "pipelines:destroy tow --confirm tow",
	}
	// What starts containers, feeds standard input or is git's is tested in e2e.
	elsewhereTested = regexp.MustCompile(`^(git:.*|host:backup|run.*|config:import|deploy:.*|apps:destroy|ps:restart|ps:capabilities:set|releases:rollback|releases:retry|pipelines:promote|builds:(cancel|purge)|ci:run|ci:rerun|ci:debug|ci:cancel|addons:(create|destroy|attach|detach|restart|console|rotate|upgrade|open|forward)|` +
		`backups:(capture|restore|download|verify)|plugins:(install|remove|check)|members:(add|remove)|certs:(add|remove)|complete|keys.*|whoami)$`)
)

var snake = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// namedByUsers are the fields whose keys are not Towline's.
var namedByUsers = map[string]bool{"formation": true, "processes": true, "members": true}

// checkKeys fails the test if a key is no snake_case.
func checkKeys(t *testing.T, line string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if !snake.MatchString(key) {
				t.Errorf("%s: the field %q", line, key)
			}
			if m, ok := value.(map[string]any); ok && namedByUsers[key] {
				for _, value := range m {
					checkKeys(t, line, value)
				}
				continue
			}
			checkKeys(t, line, value)
		}
	case []any:
		for _, value := range v {
			checkKeys(t, line, value)
		}
	case nil:
		t.Errorf("%s: null", line)
	}
}

func TestJSONOfEveryCommand(t *testing.T) {
	b := filledBench(t)
	seen := map[string]bool{}
	for i, line := range append(append([]string{}, readers...), doers...) {
		words := append(strings.Fields(line), "--json")
		c, _, err := b.find(words)
		if err != nil {
			t.Fatal(err)
		}
		seen[c.Name] = true
		r := b.run(0, words...)
		text := json.NewDecoder(strings.NewReader(r.out))
		var v any
		for text.More() || r.out == "" && c.Name != "addons:logs" {
			if err := text.Decode(&v); err != nil {
				t.Errorf("%s: %v in %q", line, err, r.out)
				break
			}
		}
		if strings.HasPrefix(c.Name, "config") && i < len(readers) || c.Name == "ps:scale" {
			continue // the keys are the users'
		}
		if c.Name != "addons:logs" {
			checkKeys(t, line, v)
		}
	}
	for name := range b.commands {
		if !seen[name] && !elsewhereTested.MatchString(name) {
			t.Errorf("what does %s --json print? Add it to readers or doers", name)
		}
	}
}

// TestEmptyListingsAreEmptyArrays: a program that goes through a listing wants no null.
func TestEmptyListingsAreEmptyArrays(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "shop")
	b.write(func(tx daemon.Tx) error { return tx.InsertApp(daemon.App{Name: "bare"}) })
	for _, line := range []string{"ps -a shop", "addons", "backups", "backups:schedules", "backups:check", "members", "access -a shop", "releases -a bare", "certs -a bare"} {
		if out := b.run(0, append(strings.Fields(line), "--json")...).out; out != "[]\n" {
			t.Errorf("%s: %q", line, out)
		}
	}
	for _, line := range []string{"config -a bare", "config:export -a bare", "ps:scale -a bare"} {
		if out := b.run(0, append(strings.Fields(line), "--json")...).out; out != "{}\n" {
			t.Errorf("%s: %q", line, out)
		}
	}
}

func TestAddonsSayWhatRuns(t *testing.T) {
	b := filledBench(t)
	b.d.Addons.Engine = runningEngine{running: "test-addon-redis-shop.0"}
	var list []addons.Info
	if err := json.Unmarshal([]byte(b.run(0, "addons", "--json").out), &list); err != nil {
		t.Fatal(err)
	}
	if a := list[0]; a.Running == nil || !*a.Running || a.Image == "" || a.Memory == 0 {
		t.Errorf("%+v", a)
	}
	// With Podman away nothing is claimed.
	b.d.Addons.Engine = runningEngine{away: true}
	out := b.run(0, "addons", "--json").out
	want(t, out, `"name": "redis-shop"`)
	wantNone(t, out, `"running"`)
}

// TestErrorsInJSON: one line on standard error, and the exit code of before.
func TestErrorsInJSON(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "shop")
	for line, wanted := range map[string]struct {
		code int
		kind string
	}{
		"ps -a nope --json":                          {3, "not_found"},
		"ps --json":                                  {2, "invalid"},
		"nope --json":                                {2, "invalid"},
		"apps --json --nope":                         {2, "invalid"},
		"apps:create shop --json":                    {5, "exists"},
		"apps:create Shop --json":                    {2, "invalid"},
		"addons:destroy nope --json":                 {3, "not_found"},
		"config:get -a shop A --json":                {3, "not_found"},
		"releases:rollback -a shop --json":           {6, "conflict"},
		"releases:retry -a shop --json":              {6, "conflict"},
		"members:add alice --json":                   {2, "invalid"},
		"backups:restore nope --confirm nope --json": {3, "not_found"},
	} {
		r := b.run(wanted.code, strings.Fields(line)...)
		var v struct{ Error failure }
		if err := json.Unmarshal([]byte(r.errors), &v); err != nil || r.out != "" || strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%s: %v, %q, %q", line, err, r.out, r.errors)
		}
		if v.Error.Kind != wanted.kind || v.Error.Message == "" {
			t.Errorf("%s: %+v", line, v.Error)
		}
	}
	// A program in the app's image has flags of its own.
	r := b.run(3, "run", "-a", "nope", "ls", "--json")
	want(t, r.errors, ` !     there is no app "nope"`)
}

func TestEachLineOfAnErrorIsMarked(t *testing.T) {
	var text strings.Builder
	printError(&text, daemon.Errorf(daemon.Failed, "one\ntwo").WithHint("three\nfour"), false)
	if text.String() != " !     one\n !     two\n !     three\n !     four\n" {
		t.Error(text.String())
	}
}

// TestResultsArePrintedInOnePlace: a command that prints for itself forgets --json.
func TestResultsArePrintedInOnePlace(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	prints := regexp.MustCompile(`Fprint\w*\(call\.Stdout`)
	own := map[string]int{"logs.go": 1, "git.go": 1, "activity.go": 1, "metrics.go": 1} // log lines, events as they come, and that a release was refused
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(prints.FindAll(text, -1)); n != own[file] && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s prints to standard output %d times: return a Result", file, n)
		}
	}
}
