package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"towline/daemon/shell"
	"towline/e2e/stack"
)

const buildRounds = 3

// buildBase is what the plain builds start from: the image that the Debian-built builder builds in,
// with the machine's own Node.js and settings of npm and pip.
const buildBase = "localhost/towline/bench-base:1"

// example is an app that is built in both ways.
type example struct {
	name       string
	source     string // in the repository: a folder, or a txtar of files
	dockerfile string // what somebody would write by hand
	code       string // a file of it whose change is one of code
	comment    string // how a comment begins in it
	// dependency changes what the app depends on.
	dependency func(dir string, n int) error
}

var examples = []example{
	{name: "node", source: "examples/node", code: "server.js", comment: "//",
		dockerfile: "WORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci --omit=dev --no-audit --no-fund\nCOPY . .\nCMD [\"npm\", \"start\"]\n",
		dependency: func(dir string, n int) error {
			return replaceIn(dir, `"version": "`, fmt.Sprintf(`"version": "%d`, n), "package.json", "package-lock.json")
		}},
	{name: "python", source: "daemon/build/testdata/apps/python-requirements.txtar", code: "app.py", comment: "#",
		dockerfile: "WORKDIR /app\nRUN python3 -m venv /venv\nCOPY requirements.txt .\nRUN /venv/bin/pip install --no-cache-dir -q -r requirements.txt\nCOPY . .\nCMD [\"/venv/bin/gunicorn\", \"app:app\"]\n",
		dependency: func(dir string, n int) error {
			return appendTo(filepath.Join(dir, "requirements.txt"), fmt.Sprintf("# change %d\n", n))
		}},
	{name: "rails", source: "examples/rails", code: "config.ru", comment: "#",
		dockerfile: "WORKDIR /app\nENV RAILS_ENV=production\nCOPY Gemfile Gemfile.lock ./\nRUN bundle install --local --quiet || { rm -f Gemfile.lock; bundle install --local --quiet; }\nCOPY . .\nCMD [\"bundle\", \"exec\", \"puma\"]\n",
		dependency: func(dir string, n int) error {
			return appendTo(filepath.Join(dir, "Gemfile"), fmt.Sprintf("# change %d\n", n))
		}},
}

// builds measures builds of the examples beside `podman build` of the same source by a
// Dockerfile: the first, one after a change of code, one after a change of what the app
// depends on, and a push that changes nothing.
func (b *bench) builds() error {
	if err := b.buildBaseImage(); err != nil {
		return err
	}
	heading("median of podman build | ratio | goal")
	for _, e := range examples {
		if err := b.buildsOf(e); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

func (b *bench) buildsOf(e example) error {
	root, err := stack.Root()
	if err != nil {
		return err
	}
	var firsts, codes, dependencies, nothings [2]sample
	for round := 1; round <= b.times(buildRounds); round++ {
		app := fmt.Sprintf("%s-%d", e.name, round)
		dir := filepath.Join(b.Stack.Dir, app)
		if err := e.unpack(filepath.Join(root, e.source), dir); err != nil {
			return err
		}
		if err := b.ssh("apps:create " + app); err != nil {
			return err
		}
		if err := b.gitIn(dir, "init", "-q", "-b", "main"); err != nil {
			return err
		}
		for i, step := range []struct {
			into   *[2]sample
			change func() error
		}{
			{&firsts, func() error { return nil }},
			{&codes, func() error { return appendTo(filepath.Join(dir, e.code), fmt.Sprintf("\n%s %d\n", e.comment, round)) }},
			{&dependencies, func() error { return e.dependency(dir, round) }},
			{&nothings, func() error { return nil }},
		} {
			if err := step.change(); err != nil {
				return err
			}
			whole, built, err := b.pushed(app, dir, step.into == &nothings)
			if err != nil {
				return err
			}
			if step.into == &nothings {
				built = whole // in all is what its goal is of
			}
			plain, err := b.podmanBuild(e, dir, i == 0)
			if err != nil {
				return err
			}
			step.into[0], step.into[1] = append(step.into[0], built), append(step.into[1], plain)
		}
		if err := b.ssh("apps:destroy -a " + app + " --confirm " + app); err != nil {
			return err
		}
	}
	if _, err := stack.Podman("rmi", "-f", e.image()); err != nil {
		return err
	}
	row := func(name string, s [2]sample, goal string) {
		s[0].row(e.name+": "+name, fmt.Sprintf("%s | %.2f | %s", ms(s[1].median()), float64(s[0].median())/float64(s[1].median()), goal))
	}
	row("first build", firsts, "1.5")
	row("code changed", codes, "2")
	row("dependencies changed", dependencies, "2")
	row("push of nothing new, in all", nothings, "1000 ms")
	return nil
}

// image is what Podman alone makes of it.
func (e example) image() string { return "localhost/towline/bench-" + e.name + ":1" }

// unpack makes a folder of the source whose app builds, and starts without add-ons.
func (e example) unpack(source, dir string) error {
	if strings.HasSuffix(source, ".txtar") {
		archive, err := txtar.ParseFile(source)
		if err != nil {
			return err
		}
		for _, f := range archive.Files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f.Name)), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
				return err
			}
		}
		return os.WriteFile(filepath.Join(dir, "Procfile"), []byte("web: gunicorn --bind 0.0.0.0:$PORT app:app\n"), 0o644)
	}
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, "app.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "Procfile"), []byte("web: ruby -run -e httpd -- --port=$PORT --bind-address=0.0.0.0 /tmp\n"), 0o644)
}

// pushed commits what has changed and pushes it: how long that took in all, and the build.
func (b *bench) pushed(app, dir string, empty bool) (whole, built time.Duration, err error) {
	if err := b.gitIn(dir, "add", "-A"); err != nil {
		return 0, 0, err
	}
	commit := []string{"commit", "-q", "-m", "change"}
	if empty {
		commit = append(commit, "--allow-empty")
	}
	if err := b.gitIn(dir, commit...); err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := b.gitIn(dir, "push", "-q", b.Remote(app), "main"); err != nil {
		return 0, 0, err
	}
	whole = time.Since(start)
	built, err = b.lastBuild(app)
	return whole, built, err
}

// lastBuild is how long an app's newest build took.
func (b *bench) lastBuild(app string) (time.Duration, error) {
	r := b.SSH(b.ctx, stack.Admin, nil, "builds -a "+app+" --json")
	if r.Code != 0 {
		return 0, fmt.Errorf("builds: %s", r)
	}
	var list []struct {
		Number            int
		Created, Finished time.Time
	}
	if err := json.Unmarshal([]byte(r.Stdout), &list); err != nil {
		return 0, fmt.Errorf("builds --json: %w", err)
	}
	last := -1
	for i := range list {
		if last < 0 || list[i].Number > list[last].Number {
			last = i
		}
	}
	if last < 0 || !list[last].Finished.After(list[last].Created) {
		return 0, fmt.Errorf("the builds are %s", r.Stdout)
	}
	return list[last].Finished.Sub(list[last].Created), nil
}

// podmanBuild is how long Podman takes by the Dockerfile of an example, from nothing or with the
// layers of the build before.
func (b *bench) podmanBuild(e example, dir string, fresh bool) (time.Duration, error) {
	file := filepath.Join(b.Stack.Dir, "Dockerfile."+e.name)
	if err := os.WriteFile(file, []byte("FROM "+buildBase+"\n"+e.dockerfile), 0o644); err != nil {
		return 0, err
	}
	ignore := filepath.Join(b.Stack.Dir, "ignore")
	if err := os.WriteFile(ignore, []byte(".git\n"), 0o644); err != nil {
		return 0, err
	}
	argv := []string{"podman", "build", "-q", "--layers", "--network", "host", "--ignorefile", ignore, "-t", e.image(), "-f", file}
	if fresh {
		argv = append(argv, "--no-cache")
	}
	return took(b.ctx, append(argv, dir))
}

func (b *bench) buildBaseImage() error {
	dir := filepath.Join(b.Stack.Dir, "base")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	bundle, err := os.ReadFile(cmp.Or(os.Getenv("NODE_EXTRA_CA_CERTS"), "/etc/ssl/certs/ca-certificates.crt"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "bundle.crt"), bundle, 0o644); err != nil {
		return err
	}
	text := "FROM localhost/towline/build:12\nUSER 0:0\nCOPY bundle.crt /etc/ssl/certs/ca-certificates.crt\n"
	for _, name := range []string{"NODE_EXTRA_CA_CERTS", "PIP_CERT", "SSL_CERT_FILE"} {
		text += "ENV " + name + "=/etc/ssl/certs/ca-certificates.crt\n"
	}
	for _, setting := range []struct {
		name string
		argv []string
	}{
		{"npm_config_registry", []string{"npm", "config", "get", "registry"}},
		{"PIP_INDEX_URL", []string{"pip", "config", "get", "global.index-url"}},
	} {
		if out, err := exec.CommandContext(b.ctx, setting.argv[0], setting.argv[1:]...).Output(); err == nil {
			text += fmt.Sprintf("ENV %s=%s\n", setting.name, shell.Protect(strings.TrimSpace(string(out))))
		}
	}
	// Debian's own packages of Node.js and npm are older, and as good for this.
	text += "RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends nodejs npm >/dev/null\n"
	file := filepath.Join(dir, "Dockerfile")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	_, err = took(b.ctx, []string{"podman", "build", "-q", "--layers", "--network", "host", "-t", buildBase, dir})
	return err
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// replaceIn puts new in the place of the first old of each file.
func replaceIn(dir, old, new string, files ...string) error {
	for _, name := range files {
		file := filepath.Join(dir, name)
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, new, 1)), 0o644); err != nil {
			return err
		}
	}
	return nil
}
