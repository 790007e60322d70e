package journeys

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"towline/daemon"
	"towline/daemon/apps"
)

// asking is the source of an app of that version, with an app.json.
func asking(version, appJSON string) []byte {
	return archive(map[string]string{"Procfile": "web: serve\nworker: work\n", "version": version, "app.json": appJSON})
}

// push deploys to an app, and returns what the pusher sees.
func (l *life) push(ctx context.Context, app, member string, source []byte) (string, error) {
	var out bytes.Buffer
	_, err := l.Releases.Deploy(ctx, apps.DeployRequest{App: app, Member: member, Commit: "0123456789abcdef", Source: bytes.NewReader(source)}, &out)
	return out.String(), err
}

const wholeAppJSON = `{ // all of it
	"env": {"COLOUR": "red", "KEY": {"generator": "secret"}, "STORE_URL": {"description": "the add-on's", "required": true}},
	"formation": {"worker": {"quantity": 2}},
	"addons": ["store", {"plan": "store:large", "as": "cache"}, "papertrail:choklad"],
	"scripts": {"dokku": {"predeploy": "assets", "postdeploy": "tell"}, "postdeploy": "seed"},
}`

// What an app.json asks for the first deploy gets, and no later one changes.
func TestFirstDeployTakesAppJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		ctx := t.Context()
		w.must(l.createApp(ctx, "shop"))
		out, err := l.push(ctx, "shop", "", asking("one", wholeAppJSON))
		if err != nil {
			t.Fatal(err, out)
		}
		w.settle()
		a, _ := w.state(l).app("shop")
		if a.Config["COLOUR"] != "red" || len(a.Config["KEY"]) != 64 || a.Config["STORE_URL"] == "" || a.Config["CACHE_URL"] == "" {
			t.Errorf("config is %v", a.Config)
		}
		if want := (daemon.Formation{"web": 1, "worker": 2}); !maps.Equal(a.Formation, want) {
			t.Errorf("formation is %v, want %v", a.Formation, want)
		}
		large, _ := w.state(l).addon("store-shop-2")
		if large.Plan != "large" || len(w.state(l).addons) != 2 {
			t.Errorf("add-ons are %+v", w.state(l).addons)
		}
		for _, want := range []string{"app.json line 4: there is no add-on papertrail here; there are: store", "Setting COLOUR, KEY, as app.json", "Predeploy: assets", "Postdeploy: tell", "Postdeploy: seed"} {
			if !strings.Contains(out, want) {
				t.Errorf("the pusher is not told %q, but:\n%s", want, out)
			}
		}
		if order := w.programs.ranOf("release"); !slices.Equal(order, []string{"predeploy assets", "postdeploy tell", "postdeploy seed"}) {
			t.Errorf("what ran is %q", order)
		}
		// What somebody changes stays changed.
		w.must(l.set(ctx, "shop", "COLOUR", "blue"))
		w.must(l.scale(ctx, "shop", "worker", 1))
		w.must(l.destroyAddon(ctx, "store-shop-2"))
		out, err = l.push(ctx, "shop", "", asking("two", wholeAppJSON))
		if err != nil {
			t.Fatal(err, out)
		}
		w.settle()
		again, _ := w.state(l).app("shop")
		if again.Config["COLOUR"] != "blue" || again.Config["KEY"] != a.Config["KEY"] || again.Config["CACHE_URL"] != "" || again.Formation["worker"] != 1 || len(w.state(l).addons) != 1 {
			t.Errorf("after the second deploy: %+v, %d add-ons", again, len(w.state(l).addons))
		}
		if order := w.programs.ranOf("release")[3:]; !slices.Equal(order, []string{"predeploy assets", "postdeploy tell"}) {
			t.Errorf("with the second deploy ran %q", order)
		}
		for _, fault := range w.faultsFound(l) {
			t.Error(fault)
		}
	})
}

// A deploy without what its app.json requires is refused, and nothing is made for it.
func TestRequiredConfigVars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		ctx := t.Context()
		w.must(l.createApp(ctx, "shop"))
		source := asking("one", `{"env": {"TOKEN": {"required": true}, "HOST": {"description": "of mail"}, "OPTIONAL": {"required": false}}, "addons": ["store"]}`)
		_, err := l.push(ctx, "shop", "", source)
		var e *daemon.Error
		if !errors.As(err, &e) || e.Kind != daemon.Invalid || e.Message != "app.json requires TOKEN, which is not set" || e.Hint != "towline config:set TOKEN=... -a shop" {
			t.Errorf("the push ended with %v", err)
		}
		if s := w.state(l); len(s.addons) > 0 {
			t.Errorf("it made %+v", s.addons)
		}
		w.must(l.set(ctx, "shop", "TOKEN", ""))
		if out, err := l.push(ctx, "shop", "", source); err != nil || !strings.Contains(out, "app.json names HOST without a value") {
			t.Error(err, out)
		}
		_, err = l.push(ctx, "shop", "", asking("two", `{"env": {"NEW": {"required": true}}}`))
		if !daemon.IsKind(err, daemon.Invalid) || !strings.Contains(err.Error(), "app.json requires NEW, which is not set") {
			t.Errorf("a later push ended with %v", err)
		}
		w.settle()
		for _, fault := range w.faultsFound(l) {
			t.Error(fault)
		}
	})
}

// Who may deploy and no more gets no add-on by it. What is set already is not made.
func TestAddonsOfAppJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		ctx := t.Context()
		w.must(l.createApp(ctx, "shop"))
		_, err := l.People.AddMember(ctx, "root", "ssh-ed25519 root", true, "")
		w.must(err)
		_, err = l.People.AddMember(ctx, "ann", "ssh-ed25519 ann", false, "")
		w.must(err)
		w.must(l.People.Grant(ctx, "shop", "ann", []daemon.Permission{daemon.Deploy}, ""))
		out, err := l.push(ctx, "shop", "ann", asking("one", `{"addons": ["store"]}`))
		if err != nil || len(w.state(l).addons) > 0 || !strings.Contains(out, "towline addons:create store -a shop") {
			t.Errorf("%v, %d add-ons:\n%s", err, len(w.state(l).addons), out)
		}
		for app, c := range map[string]struct{ addons, says, fails string }{
			"set":     {`["store"]`, "store is not created, as STORE_URL is set already", ""},
			"twice":   {`["store", "store", {"plan": "store", "as": "other"}]`, "", ""},
			"same":    {`["store", {"plan": "store", "as": "STORE"}]`, "another add-on sets STORE_URL", ""},
			"plan":    {`["store:huge"]`, "", `app.json line 1: store has no plan "huge"`},
			"version": {`[{"plan": "store", "options": {"version": "9"}}]`, "", `has no version "9"`},
			"prefix":  {`[{"plan": "store", "as": "A B"}]`, "", "can't begin config vars"},
		} {
			w.must(l.createApp(ctx, app))
			if app == "set" {
				w.must(l.set(ctx, app, "STORE_URL", "own"))
			}
			out, err := l.push(ctx, app, "", asking("one", `{"addons": `+c.addons+`}`))
			switch {
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("%s: %v", app, err)
			case c.fails == "" && (err != nil || !strings.Contains(out, c.says)):
				t.Errorf("%s: %v\n%s", app, err, out)
			}
		}
		n := map[string]int{}
		for _, a := range w.state(l).addons {
			n[a.App]++
		}
		if want := map[string]int{"twice": 2, "same": 1}; !maps.Equal(n, want) {
			t.Errorf("add-ons by app: %v, want %v", n, want)
		}
		w.settle()
		for _, fault := range w.faultsFound(l) {
			t.Error(fault)
		}
	})
}

// A script that fails before the release serves refuses it; one that fails afterwards is told.
func TestScriptsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		ctx := t.Context()
		w.must(l.createApp(ctx, "shop"))
		w.programs.refuse(func(map[string]string) bool { return true })
		_, err := l.push(ctx, "shop", "", asking("one", `{"scripts": {"predeploy": "assets"}}`))
		if err == nil || !strings.Contains(err.Error(), "the predeploy script failed with exit code 1") {
			t.Errorf("predeploy: %v", err)
		}
		out, err := l.push(ctx, "shop", "", asking("one", `{"scripts": {"postdeploy": "seed it"}}`))
		if err != nil || !strings.Contains(out, "the postdeploy script failed with exit code 1") || !strings.Contains(out, "towline run 'seed it' -a shop") {
			t.Errorf("postdeploy: %v\n%s", err, out)
		}
		w.settle()
		for _, fault := range w.faultsFound(l) {
			t.Error(fault)
		}
	})
}

// Whenever the daemon dies, a first deploy's script has run once, or not again.
func TestPostdeployRunsOnce(t *testing.T) {
	for point, want := range map[string]int{
		"deploy:swap:done": 1, "deploy:current": 1, "postdeploy:due:done": 1, "postdeploy:run": 0, "postdeploy:run:done": 1,
	} {
		t.Run(point, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l := w.start()
				ctx := t.Context()
				w.must(l.createApp(ctx, "shop"))
				l.dieAt(point)
				go func() { _, _ = l.push(ctx, "shop", "", asking("one", `{"scripts": {"postdeploy": "seed"}}`)) }()
				<-l.line.Dead()
				l = w.start()
				w.settle()
				if n := len(w.programs.ranOf("release")); n != want {
					t.Errorf("it ran %d times, want %d", n, want)
				}
				if out, err := l.push(ctx, "shop", "", asking("two", `{"scripts": {"postdeploy": "seed"}}`)); err != nil {
					t.Error(err, out)
				}
				w.settle()
				if n := len(w.programs.ranOf("release")); n != want {
					t.Errorf("with the next deploy it ran %d times, want %d", n, want)
				}
				for _, fault := range w.faultsFound(l) {
					t.Error(fault)
				}
			})
		})
	}
}
