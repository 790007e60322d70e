package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to read the daemon's journal

	"towline/e2e/stack"
)

// The crash tests kill towlined, as kill -9 does, at every step that it records of a
// deploy and of a provision. The proxy serves on meanwhile. After the next start there
// is one allowed outcome, nothing in Podman that belongs to nothing, and the next
// change works.

// steps returns what the daemon records while change runs, in order.
func steps(t *testing.T, s *stack.Stack, change func()) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "steps")
	restartDaemon(t, s, "TOWLINE_FAULT_LOG="+path)
	settled(t, s)
	_ = os.Remove(path) // what it did to start
	change()
	settled(t, s)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	restartDaemon(t, s)
	// An app that did not start in time has its roll later.
	return slices.DeleteFunc(strings.Fields(string(text)), func(p string) bool { return strings.HasPrefix(p, "roll:") })
}

// sample is what `make test` kills the daemon at: some of the points. TestCrashes of
// daemon/journeys has each of them on stand-ins, and `make soak` each of them here.
func sample(points []string, some ...string) []string {
	if testing.Short() {
		return some
	}
	return points
}

// settled waits until the daemon's journal is empty: old processes go in the background,
// and an operation is over only then.
func settled(t *testing.T, s *stack.Stack) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.Dir, "state", "towline.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	within(t, 2*time.Minute, func() string {
		var journal sql.NullString
		if err := db.QueryRowContext(t.Context(), "SELECT group_concat(kind || ':' || step, ' ') FROM operations").Scan(&journal); err != nil {
			return err.Error()
		}
		return journal.String
	})
}

// restartDaemon restarts the daemon once it has nothing to do, so that the next one has
// nothing to finish: no step of that is taken for one of what comes after.
func restartDaemon(t *testing.T, s *stack.Stack, env ...string) {
	t.Helper()
	settled(t, s)
	if err := s.StopDaemon(); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, s, env...)
}

func startDaemon(t *testing.T, s *stack.Stack, env ...string) {
	t.Helper()
	if err := s.StartDaemon(env...); err != nil {
		t.Fatal(err)
	}
}

// crash runs change against a daemon that dies at point, and starts it again.
// meanwhile is called while it is dead. A push waits for the next one, so change may
// end only then.
func crash(t *testing.T, s *stack.Stack, point string, change, meanwhile func()) {
	t.Helper()
	restartDaemon(t, s, "TOWLINE_CRASH_AT="+point)
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		change()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.WaitDaemonDied(ctx); err != nil {
		t.Fatal(err)
	}
	meanwhile()
	startDaemon(t, s)
	<-changed
}

func TestCrashInDeploy(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{Faults: true})
	app := newApp(t, s, "crash")
	source := func(v string) map[string]string {
		files := usual(v)
		files["Procfile"] += "release: echo migrating to $(cat VERSION)\n"
		return files
	}
	app.deploy(source("first"))
	admin(t, s, "ps:scale -a crash worker=1")
	points := steps(t, s, func() { app.deploy(source("second")) })
	for _, want := range []string{"deploy:build", "deploy:release", "deploy:release-phase", "deploy:start", "deploy:swap", "deploy:current"} {
		if !slices.Contains(points, want) {
			t.Fatalf("a deploy records %v, not %s", points, want)
		}
	}
	t.Logf("a deploy records %v", points)
	swapped := slices.Index(points, "deploy:swap:done")
	old := "second"
	for i, point := range sample(points, "deploy:start:done", "deploy:swap:done") {
		t.Run(point, func(t *testing.T) {
			next := fmt.Sprintf("crashed-%d", i)
			want, serves := old, slices.Index(points, point) >= swapped
			if serves {
				want = next
			}
			app.commit(source(next))
			var pushed stack.Result
			crash(t, s, point, func() { pushed = app.push() }, func() {
				if v, reason := version(t, s, "crash"); v != want {
					t.Errorf("while the daemon is dead version %q serves, want %q: %s", v, want, reason)
				}
			})
			if pushed.Code == 0 && !serves {
				t.Errorf("the push was taken: %s", pushed)
			}
			assertApp(t, s, "crash", want)
			old = fmt.Sprintf("after-%d", i)
			app.deploy(source(old))
			assertApp(t, s, "crash", old)
		})
	}
}

// TestCrashInReconcile: the daemon dies while it starts, at every step of that; the
// start after it is a good one.
func TestCrashInReconcile(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{Faults: true})
	app := newApp(t, s, "crash")
	app.deploy(usual("one"))
	points := []string{"roll:roll", "roll:start", "roll:start:done", "roll:swap", "roll:swap:done", "roll:current", "roll:current:done"}
	for _, point := range sample(points, "roll:start", "roll:swap:done") {
		t.Run(point, func(t *testing.T) {
			// A process that died with the daemon away gives the start something to do: it
			// leaves alone what runs.
			if err := s.Kill9Daemon(); err != nil {
				t.Fatal(err)
			}
			web := fmt.Sprintf("%s-crash.web.1.", s.Name)
			o, err := s.Objects()
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range o.Containers {
				if strings.HasPrefix(c, web) {
					if _, err := stack.Podman("kill", c); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := s.StartDaemon("TOWLINE_CRASH_AT=" + point); err == nil {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := s.WaitDaemonDied(ctx); err != nil {
					t.Fatal(err)
				}
			}
			startDaemon(t, s)
			eventually(t, func() string { // the start waits for no app for ever
				_, reason := version(t, s, "crash")
				return reason
			})
			assertApp(t, s, "crash", "one")
		})
	}
}

// assertApp: the version serves, state and Podman agree, and there is nothing else.
func assertApp(t *testing.T, s *stack.Stack, app, want string) {
	t.Helper()
	if v, reason := version(t, s, app); v != want {
		t.Errorf("version %q serves, want %q: %s", v, want, reason)
	}
	info := appInfo(t, s, app)
	releases := decode[[]release](t, s, "releases", "-a", app)
	images := map[string]bool{}
	for _, r := range releases {
		if r.Status == "pending" {
			t.Errorf("v%d is pending still", r.Version)
		}
		if r.Image != "" {
			images[r.Image] = true
		}
	}
	var processes []string
	for process, n := range info.Formation {
		for i := range n {
			processes = append(processes, fmt.Sprintf("%s-%s.%s.%d.v%d", s.Name, app, process, i+1, info.Current))
		}
	}
	slices.Sort(processes)
	var o stack.Objects
	eventually(t, func() string {
		var err error
		if o, err = s.Objects(); err != nil {
			return err.Error()
		}
		var have []string
		for _, c := range o.Containers {
			if !strings.Contains(c, "redis") {
				have = append(have, c[:strings.LastIndex(c, ".")])
			}
		}
		if !slices.Equal(have, processes) {
			return fmt.Sprintf("containers %v, want %v", have, processes)
		}
		return ""
	})
	addons := decode[[]addon](t, s, "addons")
	if len(o.Networks) != 1+len(addons) || len(o.Volumes) != len(addons) {
		t.Errorf("networks %v, volumes %v, with %d add-ons", o.Networks, o.Volumes, len(addons))
	}
	for _, image := range o.Images {
		if !images[image] {
			t.Errorf("image %s is of no release", image)
		}
	}
	for _, dir := range []string{"state/work", "state/build/work"} {
		if left, _ := os.ReadDir(filepath.Join(s.Dir, dir)); len(left) > 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
}

func TestCrashInProvision(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{Faults: true})
	app := newApp(t, s, "crash")
	app.deploy(usual("one"))
	create := func() stack.Result { return s.SSH(t.Context(), stack.Admin, nil, "addons:create redis -a crash") }
	destroy := func() {
		t.Helper()
		admin(t, s, "addons:destroy redis-crash --confirm redis-crash")
		assertNoAddon(t, s)
	}
	points := steps(t, s, func() {
		if r := create(); r.Code != 0 {
			t.Fatal(r)
		}
	})
	assertAddon(t, s, "one")
	destroy()
	t.Logf("a provision records %v", points)
	attached := slices.Index(points, "provision:attach")
	if points[0] != "provision:create" || attached < 0 {
		t.Fatalf("a provision records %v", points)
	}
	for _, point := range sample(points, "provision:attach") {
		t.Run(point, func(t *testing.T) {
			crash(t, s, point, func() { create() }, func() {
				if v, reason := version(t, s, "crash"); v != "one" {
					t.Errorf("while the daemon is dead version %q serves: %s", v, reason)
				}
			})
			if slices.Index(points, point) < attached {
				assertNoAddon(t, s)
				if r := create(); r.Code != 0 {
					t.Fatal(r)
				}
			}
			assertAddon(t, s, "one")
			destroy()
		})
	}
}

// assertNoAddon: nothing of one is left anywhere.
func assertNoAddon(t *testing.T, s *stack.Stack) {
	t.Helper()
	assertApp(t, s, "crash", "one")
	if list := decode[[]addon](t, s, "addons"); len(list) > 0 {
		t.Errorf("add-ons %v", list)
	}
	if _, ok := decode[map[string]string](t, s, "config", "-a", "crash")["REDISCLOUD_URL"]; ok {
		t.Error("the config var is set")
	}
	o, err := s.Objects()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range o.Containers {
		if strings.Contains(c, "redis") {
			t.Errorf("container %s", c)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(s.Dir, "state/addons")); len(left) > 0 {
		t.Errorf("left in state/addons: %v", left)
	}
}

// assertAddon: it runs, and what serves has its address.
func assertAddon(t *testing.T, s *stack.Stack, version string) {
	t.Helper()
	assertApp(t, s, "crash", version)
	list := decode[[]addon](t, s, "addons", "-a", "crash")
	if len(list) != 1 || list[0].Name != "redis-crash" || list[0].Status != "ready" {
		t.Errorf("add-ons %v", list)
	}
	url := decode[map[string]string](t, s, "config", "-a", "crash")["REDISCLOUD_URL"]
	if _, body, err := s.Get(t.Context(), "crash", "/env/REDISCLOUD_URL"); err != nil || url == "" || strings.TrimSpace(body) != url {
		t.Errorf("the app has REDISCLOUD_URL=%q, the config %q: %v", body, url, err)
	}
}

// What the tests read of the commands' JSON.
type (
	info struct {
		Current   int            `json:"current"`
		Formation map[string]int `json:"formation"`
	}
	release struct {
		Version int    `json:"version"`
		Status  string `json:"status"`
		Image   string `json:"image"`
	}
	addon struct {
		Name   string `json:"name"`
		Status string `json:"status"`
	}
)

func appInfo(t *testing.T, s *stack.Stack, app string) info {
	t.Helper()
	return decode[info](t, s, "apps:info", "-a", app)
}

// decode asks as the operator on the host does, for JSON.
func decode[T any](t *testing.T, s *stack.Stack, args ...string) (v T) {
	t.Helper()
	r := s.Host(t.Context(), nil, append(args, "--json")...)
	if r.Code != 0 {
		t.Fatalf("%s: %s", strings.Join(args, " "), r)
	}
	if err := json.Unmarshal([]byte(r.Stdout), &v); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, r.Stdout)
	}
	return v
}
