package ci

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"regexp"
	"strings"

	"towline/daemon"
	"towline/daemon/addons"
	"towline/daemon/apps"
	"towline/daemon/work"
)

// plan is what a run is to do. It was checked, and nothing of it is done.
type plan struct {
	env    map[string]string // of the build and the nodes, without what add-ons and nodes have
	addons []addons.Throwaway
	nodes  int
	setup  string // empty: none
	test   string
	choice daemon.BuilderChoice
}

// planRun reads what unpacked source says of its tests. It tells the pusher what is not followed.
func (ts *Tests) planRun(dir, app string, out io.Writer) (p plan, err error) {
	usual := usualOf(dir)
	said, err := apps.ReadTests(dir, app)
	if e := (*daemon.Error)(nil); errors.As(err, &e) && e.Hint == "" {
		err = e.WithHint(`like {"environments": {"test": {"env": {}, "addons": ["redis"], "scripts": {"test": "bin/test"}}}}; docs/ci.md tells the rest`)
	}
	if err != nil {
		return p, err
	}
	tests := said.ForTests(usual.env)
	p.setup, p.test, p.nodes = tests.Setup, tests.Test, tests.Nodes
	if p.test == "" {
		p.test = usual.test
	}
	if p.test == "" {
		return p, daemon.Errorf(daemon.Invalid, "the source does not say how its tests are run").
			WithHint(`write it into app.json: {"environments": {"test": {"scripts": {"test": "bin/test"}}}}`)
	}
	var notes []string
	if p.addons, notes, err = ts.Addons.Throwaways(tests.Addons); err != nil {
		return p, err
	}
	for _, line := range append(said.Notes, notes...) {
		work.Warn(out, "%s", line)
	}
	if len(tests.Wanted) > 0 {
		work.Warn(out, "app.json names %s without a value: if tests need them, environments.test.env gives them one", strings.Join(tests.Wanted, ", "))
	}
	p.env = tests.Env
	for _, key := range tests.Secrets {
		p.env[key] = apps.NewSecret()
	}
	return p, ts.Store.View(ts.Life.Closing(), func(tx daemon.Tx) error {
		a, err := daemon.FindApp(tx, app)
		p.choice = a.Builder
		maps.Copy(p.env, a.TestConfig)
		p.env["CI"] = "true"
		return err
	})
}

// usual is what tests of source are run by that says nothing of them.
type usual struct {
	env  map[string]string
	test string // empty: nobody knows
}

// maxRead is more than any file has that is looked at, in bytes.
const maxRead = 4 << 20

var railsInGemfile = regexp.MustCompile(`(?m)^\s*gem\s*\(?\s*["'](rails|railties)["']`)

// usualOf finds it, as far as the source is one that many have: a Rails app, one with RSpec, or a
// package.json with a test script.
func usualOf(dir string) (u usual) {
	u.env = map[string]string{}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return u
	}
	defer root.Close()
	read := func(name string) string {
		f, err := root.Open(name)
		if err != nil {
			return ""
		}
		defer f.Close()
		text, _ := io.ReadAll(io.LimitReader(f, maxRead))
		return string(text)
	}
	there := func(name string) bool { _, err := root.Stat(name); return err == nil }
	if gems := read("Gemfile"); gems != "" {
		u.env["RAILS_ENV"], u.env["RACK_ENV"], u.env["BUNDLE_WITHOUT"] = "test", "test", "development"
		switch {
		case there("spec") && strings.Contains(gems+read("Gemfile.lock"), "rspec"):
			u.test = "bundle exec rspec"
		case there("bin/rails") && railsInGemfile.MatchString(gems):
			u.test = "bin/rails test"
		case there("Rakefile") && there("test"):
			u.test = "bundle exec rake test"
		}
	}
	var pkg struct{ Scripts map[string]string }
	if text := read("package.json"); text != "" && json.Unmarshal([]byte(text), &pkg) == nil {
		u.env["NODE_ENV"] = "test"
		// What npm init writes is no test.
		if test := pkg.Scripts["test"]; u.test == "" && test != "" && !strings.Contains(test, "no test specified") {
			u.test = "npm test"
		}
	}
	return u
}

// env is what the build and the node of that index have, with the config vars of their add-ons.
func (t *testRun) env(node int, services []service) map[string]string {
	env := maps.Clone(t.plan.env)
	for _, s := range services {
		if s.node >= 0 && s.node != node {
			continue
		}
		for _, v := range s.vars {
			env[v.Name] = v.Value
		}
	}
	env["HEROKU_TEST_RUN_ID"] = t.ID
	env["HEROKU_TEST_RUN_NUMBER"] = itoa(t.Number)
	env["HEROKU_TEST_RUN_BRANCH"] = t.Branch
	env["HEROKU_TEST_RUN_COMMIT_VERSION"] = t.Commit
	return env
}
