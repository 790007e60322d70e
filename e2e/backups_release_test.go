package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"towline/e2e/stack"
)

// TestRollbackWithData: a backup is taken before each release, and a rollback with data
// goes back to what a release left; no request fails meanwhile. What can't be done whole
// is refused, and a kill leaves both old or both new.
func TestRollbackWithData(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{Faults: true})
	app := newApp(t, s, "back")
	app.deploy(usual("one")) // v2: v1 is the empty one
	admin(t, s, "addons:create redis -a back")
	db := openDatabase(t, s, "back", "redis", "redis-back")
	add := func(n int64) {
		t.Helper()
		if err := db.Add(n); err != nil {
			t.Fatal(err)
		}
	}
	is := func(code string, data int64) {
		t.Helper()
		if v, reason := version(t, s, "back"); v != code {
			t.Errorf("version %q serves, not %q: %s", v, code, reason)
		}
		if last, _, err := db.Last(); err != nil || last != data {
			t.Errorf("the data is %d, not %d: %v", last, data, err)
		}
	}
	refused := func(line string, code int, says string) {
		t.Helper()
		if r := s.SSH(t.Context(), stack.Admin, nil, line); r.Code != code || !strings.Contains(r.Stderr, says) {
			t.Errorf("%s: %s", line, r)
		}
	}
	admin(t, s, "backups:on-release on -a back")
	refused("backups:on-release maybe -a back", 2, "neither on nor off")
	add(1)
	app.deploy(usual("two")) // v4
	add(2)
	failing := usual("three")
	failing["Procfile"] += "release: false\n"
	app.commit(failing)
	if r := app.push(); r.Code == 0 { // v5 never serves
		t.Error("a release whose release phase fails is taken")
	}
	add(3)
	app.deploy(map[string]string{"Procfile": usual("")["Procfile"]}) // v6
	add(4)
	is("three", 4)
	list := backupsOf(t, s, "redis-back")
	if len(list) != 3 || list[0].Reason != "release" || list[0].Status != "good" {
		t.Fatalf("there are %+v", list)
	}
	if info := admin(t, s, "backups:info "+list[0].ID); !strings.Contains(info, "back v4") {
		t.Errorf("backups:info: %s", info)
	}

	refused("releases:rollback v4 --with-data -a back", 2, "--confirm back")
	admin(t, s, "apps:create other")
	admin(t, s, "addons:attach redis-back -a other")
	refused("releases:rollback v4 --with-data --confirm back -a back", 6, "attached to other apps")
	admin(t, s, "addons:detach redis-back -a other")
	is("three", 4)

	load, err := s.StartLoad("back", "/", 2)
	if err != nil {
		t.Fatal(err)
	}
	admin(t, s, "releases:rollback v4 --with-data --confirm back -a back") // v7
	if report := load.Stop(); report.Failed > 0 {
		t.Errorf("requests failed: %v", report.Failures)
	}
	is("two", 3)
	// And forth: what the rollback replaced is what v6 left.
	add(5)
	admin(t, s, "releases:rollback v6 --with-data --confirm back -a back") // v8
	is("three", 4)
	refused("releases:rollback v5 --with-data --confirm back -a back", 6, "never served")

	back := []string{"restore:current", "rollback:data:done", "release:swap"}
	forth := []string{"rollback:release:done", "rollback:resume", "rollback:resume:done"}
	if testing.Short() {
		back, forth = back[1:2], forth[1:2]
	}
	for _, point := range slices.Concat(back, forth) {
		t.Run(point, func(t *testing.T) {
			crash(t, s, point, func() {
				s.SSH(t.Context(), stack.Admin, nil, "releases:rollback v4 --with-data --confirm back -a back")
			}, func() {})
			if slices.Contains(forth, point) {
				is("two", 3)
			} else {
				is("three", 4)
			}
			assertBackups(t, s, "redis-back")
		})
	}
	admin(t, s, "backups:on-release off -a back")
	n := len(backupsOf(t, s, "redis-back"))
	admin(t, s, "config:set A=1 -a back")
	if m := len(backupsOf(t, s, "redis-back")); m != n {
		t.Errorf("off, there are %d backups, not %d", m, n)
	}
}

// TestRollbackWithDataAfterRotation: Neo4j's users are in its data, and those that a
// release left are of before a rotation.
func TestRollbackWithDataAfterRotation(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	s := ownStack(t, stack.Options{})
	app := newApp(t, s, "graph")
	app.deploy(usual("one"))
	admin(t, s, "addons:create neo4j -a graph")
	admin(t, s, "backups:on-release on -a graph")
	db := openDatabase(t, s, "graph", "neo4j", "neo4j-graph")
	if err := db.Add(1); err != nil {
		t.Fatal(err)
	}
	old := appInfo(t, s, "graph").Current
	app.deploy(usual("two"))
	if err := db.Add(2); err != nil {
		t.Fatal(err)
	}
	admin(t, s, "addons:rotate neo4j-graph")
	admin(t, s, fmt.Sprintf("releases:rollback v%d --with-data --confirm graph -a graph", old))
	if v, reason := version(t, s, "graph"); v != "one" {
		t.Errorf("version %q serves: %s", v, reason)
	}
	if last, _, err := openDatabase(t, s, "graph", "neo4j", "neo4j-graph").Last(); err != nil || last != 1 {
		t.Errorf("by the app's config vars the data is %d: %v", last, err)
	}
}
