package journeys

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"towline/daemon"
)

// journey is one thing that a user does, in a world that is prepared for it. It takes the
// world from the old to the new, which may be the same.
type journey struct {
	name    string
	prepare func(w *world, l *life)
	run     func(ctx context.Context, w *world, l *life) error
	// is tells "old" or "new", or what is wrong with both. nil: nothing shows.
	is    func(w *world, s state) string
	fails bool // always, with the old as its outcome
	dear  int  // it is made of others: of the calls that may go wrong every so-manieth does
}

// The base of all journeys: two apps that serve their version one, with an add-on of the
// first.
func base(w *world, l *life) {
	w.t.Helper()
	ctx := w.t.Context()
	for _, app := range []string{"shop", "other"} {
		w.must(l.createApp(ctx, app))
		w.must(l.deploy(ctx, app, source("one")))
	}
	w.must(l.scale(ctx, "shop", "worker", 1))
	w.must(l.createAddon(ctx, "shop", "cache", ""))
	w.sample("cache", l)
}

// sample has the service write a key.
func (w *world) sample(addon string, l *life) {
	w.t.Helper()
	a, ok := w.state(l).addon(addon)
	if !ok {
		w.t.Fatalf("there is no %s", addon)
	}
	spec := daemon.ExecSpec{Command: []string{"store", "sample"}, Env: map[string]string{"AUTH": a.Secrets["password"]}}
	if code, err := w.engine.Exec(w.t.Context(), container(a), spec, daemon.Streams{}); err != nil || code != 0 {
		w.t.Fatalf("sample: %d, %v", code, err)
	}
}

func container(a daemon.Addon) string {
	return "towline-addon-" + a.Name + "." + itoa(a.Generation)
}

// withHostsIDs makes an add-on's container one of before they had user ids of their own.
func (w *world) withHostsIDs(l *life, addon string) {
	w.t.Helper()
	a, _ := w.state(l).addon(addon)
	spec, ok := w.engine.Spec(container(a))
	if !ok || !w.hasIDs(w.state(l), addon) {
		w.t.Fatalf("%s has no user ids of its own", addon)
	}
	spec.Labels = maps.Clone(spec.Labels)
	delete(spec.Labels, daemon.LabelIDs)
	spec.IDMap, spec.IDMapIfCheap, spec.IDMapMounts = 0, false, false
	ctx := w.t.Context()
	w.must(w.engine.RemoveContainer(ctx, spec.Name))
	w.must(w.engine.CreateContainer(ctx, spec))
	w.must(w.engine.StartContainer(ctx, spec.Name))
	w.settle()
}

func (w *world) hasIDs(s state, addon string) bool {
	a, _ := s.addon(addon)
	spec, _ := w.engine.Spec(container(a))
	return spec.IDMap != 0 && spec.IDMapIfCheap && spec.IDMapMounts && spec.Labels[daemon.LabelIDs] == strconv.FormatUint(uint64(spec.IDMap), 10)
}

// keysOf are the keys that an add-on's service has.
func (w *world) keysOf(s state, addon string) int {
	w.t.Helper()
	a, _ := s.addon(addon)
	path, err := w.engine.VolumePath(w.t.Context(), container(a)+"-data")
	w.must(err)
	return len(keys(path))
}

// versionOf is that of the source which an app's current release was built from.
func (w *world) versionOf(s state, app string) string {
	a, _ := s.app(app)
	image, err := w.engine.Image(w.t.Context(), s.current(a).Image)
	if err != nil {
		return err.Error()
	}
	return image.Labels["version"]
}

func either(got, before, after any) string {
	switch got {
	case before:
		return isOld
	case after:
		return isNew
	}
	return "neither the old nor the new, but " + text(got)
}

// good are the good backups of an add-on, oldest first.
func (s state) good(addon string) (ids []string) {
	for _, b := range s.backups {
		if b.Addon == addon && b.Status == daemon.BackupGood {
			ids = append(ids, b.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func asStore(alias string) map[string]string { return map[string]string{alias: "STORE_URL"} }

// aliasesOf are the aliases of an app's add-on, if it has config vars for them: of the same value,
// in what runs too.
func aliasesOf(s state, app string) string {
	a, _ := s.app(app)
	for _, at := range s.attached {
		if at.App != app {
			continue
		}
		for _, config := range []map[string]string{a.Config, s.current(a).Config} {
			for alias, of := range at.Aliases {
				if config[alias] == "" || config[alias] != config[of] || !slices.Contains(at.Vars, alias) {
					return fmt.Sprintf("%s=%s: %q, %q of %v", alias, of, config[alias], config[of], at.Vars)
				}
			}
		}
		return strings.Join(daemon.SortedKeys(at.Aliases), " ")
	}
	return "no add-on"
}

func attachedTo(s state, addon, app string) bool {
	return slices.ContainsFunc(s.attached, func(at daemon.AddonAttachment) bool { return at.Addon == addon && at.App == app })
}

var journeys = []journey{
	{
		name: "create an app",
		run:  func(ctx context.Context, _ *world, l *life) error { return l.createApp(ctx, "third") },
		is:   func(_ *world, s state) string { _, ok := s.app("third"); return either(ok, false, true) },
	}, {
		name: "deploy",
		run:  func(ctx context.Context, _ *world, l *life) error { return l.deploy(ctx, "shop", source("two")) },
		is:   func(w *world, s state) string { return either(w.versionOf(s, "shop"), "one", "two") },
	}, {
		name: "deploy what fails",
		prepare: func(w *world, _ *life) {
			w.programs.refuse(func(env map[string]string) bool { return env["TOWLINE_RELEASE"] != "" })
		},
		run:   func(ctx context.Context, _ *world, l *life) error { return l.deploy(ctx, "shop", source("two")) },
		is:    func(w *world, s state) string { return either(w.versionOf(s, "shop"), "one", "two") },
		fails: true,
	}, {
		name:    "first deploy, with an app.json",
		dear:    3,
		prepare: func(w *world, l *life) { w.must(l.createApp(w.t.Context(), "third")) },
		run: func(ctx context.Context, _ *world, l *life) error {
			return l.deploy(ctx, "third", asking("one", wholeAppJSON))
		},
		is: func(w *world, s state) string {
			a, _ := s.app("third")
			return either(s.current(a).Image != "", false, true)
		},
	}, {
		name: "test run",
		prepare: func(w *world, l *life) {
			w.must(l.pipeline(w.t.Context(), "line", map[string]daemon.Stage{"shop": daemon.StageStaging}))
		},
		run: func(ctx context.Context, _ *world, l *life) error { return l.test(ctx, "shop", wholeTests("exit 0")) },
		is:  lastTests,
	}, {
		name: "test run that fails",
		prepare: func(w *world, l *life) {
			w.must(l.pipeline(w.t.Context(), "line", map[string]daemon.Stage{"shop": daemon.StageStaging}))
		},
		run:   func(ctx context.Context, _ *world, l *life) error { return l.test(ctx, "shop", wholeTests("exit 3")) },
		is:    lastTests,
		fails: true,
	}, {
		name: "config",
		run:  func(ctx context.Context, _ *world, l *life) error { return l.set(ctx, "shop", "COLOUR", "red") },
		is:   func(_ *world, s state) string { a, _ := s.app("shop"); return either(a.Config["COLOUR"], "", "red") },
	}, {
		name:    "rollback",
		prepare: func(w *world, l *life) { w.must(l.deploy(w.t.Context(), "shop", source("two"))) },
		run:     func(ctx context.Context, _ *world, l *life) error { return l.rollback(ctx, "shop") },
		is:      func(w *world, s state) string { return either(w.versionOf(s, "shop"), "two", "one") },
	}, {
		name: "scale",
		run:  func(ctx context.Context, _ *world, l *life) error { return l.scale(ctx, "shop", "web", 2) },
		is:   func(_ *world, s state) string { a, _ := s.app("shop"); return either(a.Formation["web"], 1, 2) },
	}, {
		name:    "capabilities",
		prepare: func(w *world, l *life) { w.must(l.allow(w.t.Context(), "shop", "KILL")) },
		run:     func(ctx context.Context, _ *world, l *life) error { return l.allow(ctx, "shop", "CHOWN") },
		is: func(_ *world, s state) string {
			a, _ := s.app("shop")
			return either(a.Capabilities[0], "KILL", "CHOWN")
		},
	}, {
		name: "restart",
		run:  func(ctx context.Context, _ *world, l *life) error { return l.restart(ctx, "shop") },
	}, {
		name: "run",
		run:  func(ctx context.Context, _ *world, l *life) error { return l.run(ctx, "shop") },
	}, {
		name: "destroy an app",
		run:  func(ctx context.Context, _ *world, l *life) error { return l.destroyApp(ctx, "other") },
		is:   func(_ *world, s state) string { _, ok := s.app("other"); return either(ok, true, false) },
	}, {
		name:    "rename an app",
		prepare: func(w *world, l *life) { w.must(l.addDomain(w.t.Context(), "shop", "shop.example.org")) },
		run:     func(ctx context.Context, _ *world, l *life) error { return l.renameApp(ctx, "shop", "store") },
		is:      func(_ *world, s state) string { _, ok := s.app("store"); return either(ok, false, true) },
	}, {
		name:    "create an app of a name that was given up",
		prepare: func(w *world, l *life) { w.must(l.renameApp(w.t.Context(), "shop", "store")) },
		run:     func(ctx context.Context, _ *world, l *life) error { return l.createApp(ctx, "shop") },
		is:      func(_ *world, s state) string { _, ok := s.app("shop"); return either(ok, false, true) },
	}, {
		name: "deploy to an app that was renamed",
		prepare: func(w *world, l *life) {
			ctx := w.t.Context()
			w.must(l.renameApp(ctx, "shop", "store"))
			w.must(l.createApp(ctx, "shop"))
			w.must(l.deploy(ctx, "shop", source("one")))
		},
		run: func(ctx context.Context, _ *world, l *life) error { return l.deploy(ctx, "store", source("two")) },
		is:  func(w *world, s state) string { return either(w.versionOf(s, "store"), "one", "two") },
	}, {
		name: "destroy an app of a name that was given up",
		prepare: func(w *world, l *life) {
			ctx := w.t.Context()
			w.must(l.renameApp(ctx, "shop", "store"))
			w.must(l.createApp(ctx, "shop"))
			w.must(l.deploy(ctx, "shop", source("one")))
		},
		run: func(ctx context.Context, _ *world, l *life) error { return l.destroyApp(ctx, "shop") },
		is:  func(_ *world, s state) string { _, ok := s.app("shop"); return either(ok, true, false) },
	}, {
		name: "add a domain",
		run: func(ctx context.Context, _ *world, l *life) error {
			return l.addDomain(ctx, "shop", "shop.example.org")
		},
		is: func(w *world, _ state) string {
			routes, err := w.router.Routes(w.t.Context())
			w.must(err)
			return either(slices.ContainsFunc(routes, func(r daemon.Route) bool { return slices.Contains(r.Hosts, "shop.example.org") }), false, true)
		},
	}, {
		name: "maintenance",
		run:  func(ctx context.Context, _ *world, l *life) error { return l.maintenance(ctx, "shop", true) },
		is:   func(_ *world, s state) string { a, _ := s.app("shop"); return either(a.Maintenance, false, true) },
	}, {
		name: "create an add-on",
		run: func(ctx context.Context, _ *world, l *life) error {
			return l.createAddon(ctx, "shop", "second", "SECOND")
		},
		is: func(_ *world, s state) string { _, ok := s.addon("second"); return either(ok, false, true) },
	}, {
		name:    "destroy an add-on",
		prepare: func(w *world, l *life) { w.must(l.attach(w.t.Context(), "cache", "other")) },
		run:     func(ctx context.Context, _ *world, l *life) error { return l.destroyAddon(ctx, "cache") },
		is:      func(_ *world, s state) string { _, ok := s.addon("cache"); return either(ok, true, false) },
	}, {
		name: "destroy an add-on that an app does not start without",
		dear: 3,
		prepare: func(w *world, l *life) {
			w.must(l.attach(w.t.Context(), "cache", "other"))
			w.programs.refuse(func(env map[string]string) bool { return env["TOWLINE_APP"] == "shop" && env["STORE_URL"] == "" })
		},
		run: func(ctx context.Context, _ *world, l *life) error { return l.destroyAddon(ctx, "cache") },
		is: func(_ *world, s state) string {
			return either(attachedTo(s, "cache", "other") && attachedTo(s, "cache", "shop"), true, false)
		},
		fails: true,
	}, {
		name: "detach from an app that does not start without it",
		prepare: func(w *world, _ *life) {
			w.programs.refuse(func(env map[string]string) bool { return env["STORE_URL"] == "" })
		},
		run:   func(ctx context.Context, _ *world, l *life) error { return l.detach(ctx, "cache", "shop") },
		is:    func(_ *world, s state) string { return either(attachedTo(s, "cache", "shop"), true, false) },
		fails: true,
	}, {
		name: "attach",
		run:  func(ctx context.Context, _ *world, l *life) error { return l.attach(ctx, "cache", "other") },
		is:   func(_ *world, s state) string { return either(attachedTo(s, "cache", "other"), false, true) },
	}, {
		name:    "give an attached add-on an alias",
		prepare: func(w *world, l *life) { w.must(l.alias(w.t.Context(), "cache", "shop", asStore("OLD_URL"))) },
		run: func(ctx context.Context, _ *world, l *life) error {
			return l.alias(ctx, "cache", "shop", asStore("KV_URL"))
		},
		is: func(_ *world, s state) string {
			return either(aliasesOf(s, "shop"), "OLD_URL", "KV_URL OLD_URL")
		},
	}, {
		name: "give an add-on an alias with which the app does not start",
		prepare: func(w *world, _ *life) {
			w.programs.refuse(func(env map[string]string) bool { return env["KV_URL"] != "" })
		},
		run: func(ctx context.Context, _ *world, l *life) error {
			return l.alias(ctx, "cache", "shop", asStore("KV_URL"))
		},
		is:    func(_ *world, s state) string { return either(aliasesOf(s, "shop"), "", "KV_URL") },
		fails: true,
	}, {
		name:    "detach",
		prepare: func(w *world, l *life) { w.must(l.alias(w.t.Context(), "cache", "other", asStore("KV_URL"))) },
		run:     func(ctx context.Context, _ *world, l *life) error { return l.detach(ctx, "cache", "other") },
		is:      func(_ *world, s state) string { return either(attachedTo(s, "cache", "other"), true, false) },
	}, {
		name: "restart an add-on",
		run:  func(ctx context.Context, _ *world, l *life) error { return l.restartAddon(ctx, "cache") },
	}, {
		name:    "restart an add-on that has the host's user ids",
		prepare: func(w *world, l *life) { w.withHostsIDs(l, "cache") },
		run:     func(ctx context.Context, _ *world, l *life) error { return l.restartAddon(ctx, "cache") },
		is:      func(w *world, s state) string { return either(w.hasIDs(s, "cache"), false, true) },
	}, {
		name:    "rotate",
		prepare: rememberPassword,
		run:     func(ctx context.Context, _ *world, l *life) error { return l.rotate(ctx, "cache") },
		is:      passwordIs,
	}, {
		name: "rotate, and the app does not start",
		prepare: func(w *world, l *life) {
			rememberPassword(w, l)
			a, _ := w.state(l).app("shop")
			w.programs.refuse(func(env map[string]string) bool { return env["STORE_URL"] != a.Config["STORE_URL"] })
		},
		run:   func(ctx context.Context, _ *world, l *life) error { return l.rotate(ctx, "cache") },
		is:    passwordIs,
		fails: true,
	}, {
		name: "promote",
		prepare: func(w *world, l *life) {
			ctx := w.t.Context()
			w.must(l.deploy(ctx, "shop", source("two")))
			w.must(l.pipeline(ctx, "safetow", map[string]daemon.Stage{"shop": daemon.StageStaging, "other": daemon.StageProduction}))
		},
		run: func(ctx context.Context, _ *world, l *life) error { return l.promote(ctx, "shop", "other") },
		is: func(w *world, s state) string { // the image of the other app, and none of its config
			a, _ := s.app("other")
			return either(w.versionOf(s, "other")+" "+a.Config["STORE_URL"], "one ", "two ")
		},
	}, {
		name: "upgrade",
		run:  func(ctx context.Context, _ *world, l *life) error { return l.upgrade(ctx, "cache", "2") },
		is:   func(_ *world, s state) string { a, _ := s.addon("cache"); return either(a.Version, "1", "2") },
	}, {
		name: "backup",
		run:  func(ctx context.Context, _ *world, l *life) error { _, err := l.capture(ctx, "cache"); return err },
		is:   func(_ *world, s state) string { return either(len(s.good("cache")), 0, 1) },
	}, {
		name:    "verify a backup",
		prepare: backedUp,
		run: func(ctx context.Context, w *world, l *life) error {
			return l.verify(ctx, w.state(l).backups[0].ID)
		},
	}, {
		name:    "delete a backup",
		prepare: backedUp,
		run: func(ctx context.Context, w *world, l *life) error {
			return l.deleteBackup(ctx, w.state(l).good("cache")[0])
		},
		is: func(_ *world, s state) string { return either(len(s.backups), 1, 0) },
	}, {
		name: "restore",
		prepare: func(w *world, l *life) {
			backedUp(w, l)
			w.must(l.rotate(w.t.Context(), "cache"))
			w.settle()
			w.sample("cache", l)
		},
		run: func(ctx context.Context, w *world, l *life) error {
			return l.restore(ctx, w.state(l).good("cache")[0], "", nil)
		},
		is: func(w *world, s state) string { // with the data of before in a backup
			return either(text([]int{w.keysOf(s, "cache"), len(s.backups)}), "[2 1]", "[1 2]")
		},
	}, {
		name:    "restore a dump",
		prepare: func(w *world, l *life) { w.sample("cache", l) },
		run: func(ctx context.Context, _ *world, l *life) error {
			return l.restore(ctx, "", "cache", strings.NewReader("a b c"))
		},
		is: func(w *world, s state) string { return either(w.keysOf(s, "cache"), 2, 3) },
	}, {
		name: "rollback with data",
		dear: 3,
		prepare: func(w *world, l *life) {
			ctx := w.t.Context()
			w.must(l.backupsOnRelease(ctx, "shop"))
			w.must(l.deploy(ctx, "shop", source("two")))
			w.sample("cache", l)
		},
		run: func(ctx context.Context, w *world, l *life) error {
			for _, r := range w.state(l).releases["shop"] {
				if r.Status == daemon.ReleaseGood && strings.HasPrefix(r.Description, "Attach") {
					return l.rollbackWithData(ctx, "shop", r.Version)
				}
			}
			return nil
		},
		is: func(w *world, s state) string {
			return either(w.versionOf(s, "shop")+" "+itoa(w.keysOf(s, "cache")), "two 2", "one 1")
		},
	}, {
		name: "check a plugin",
		dear: 19,
		run: func(ctx context.Context, _ *world, l *life) error {
			dir, err := filepath.Abs("testdata/addons/store")
			if err != nil {
				return err
			}
			return l.checkPlugin(ctx, dir)
		},
	},
}

func backedUp(w *world, l *life) {
	_, err := l.capture(w.t.Context(), "cache")
	w.must(err)
}

// rememberPassword keeps the present password in a file, for passwordIs.
func rememberPassword(w *world, l *life) {
	w.must(l.attach(w.t.Context(), "cache", "other"))
	a, _ := w.state(l).addon("cache")
	w.remembered = a.Secrets["password"]
}

func passwordIs(w *world, s state) string {
	a, _ := s.addon("cache")
	if a.Secrets["password"] == w.remembered {
		return isOld
	}
	return isNew
}

// in makes a world for a journey, with time that is not real.
func (j journey) in(t *testing.T, f func(w *world, l *life)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		base(w, l)
		if j.prepare != nil {
			j.prepare(w, l)
		}
		w.settle()
		f(w, l)
	})
}

// outcome is "old" or "new"; what is wrong with the world is an error of the test.
func (j journey) outcome(w *world, l *life) string {
	w.t.Helper()
	for _, fault := range w.faultsFound(l) {
		w.t.Error(fault)
	}
	if j.is == nil {
		return isNew
	}
	return j.is(w, w.state(l))
}

// limit is beyond what any journey may take, with a neighbour that hangs: the export of a
// dump may take 12 hours.
const limit = 13 * time.Hour

func TestJourneys(t *testing.T) {
	for _, j := range journeys {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			j.in(t, func(w *world, l *life) {
				t := w.t
				if before := j.outcome(w, l); j.is != nil && before != isOld {
					t.Errorf("before, it is %s", before)
				}
				err := j.run(t.Context(), w, l)
				if j.fails != (err != nil) {
					t.Error(err)
				}
				w.settle()
				want := isNew
				if j.fails {
					want = isOld
				}
				if got := j.outcome(w, l); got != want && j.is != nil {
					t.Errorf("afterwards it is %s, not the %s", got, want)
				}
			})
		})
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
func text(v any) string { return fmt.Sprint(v) }
