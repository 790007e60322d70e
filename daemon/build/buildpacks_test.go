package build_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"towline/daemon"
)

// trustMachine gives builds the registry and the certificates that the machine
// uses itself.
func (f *fixture) trustMachine() {
	f.t.Helper()
	if _, err := exec.LookPath("npm"); err == nil {
		f.options.Env["NPM_REGISTRY"] = command(f.t, "npm", "config", "get", "registry")
	}
	f.options.CABundle = "/etc/ssl/certs/ca-certificates.crt"
	if bundle := os.Getenv("NODE_EXTRA_CA_CERTS"); bundle != "" {
		f.options.CABundle = bundle
	}
	f.open()
}

func TestBuildpacksStatic(t *testing.T) {
	f := newFixture(t, builderImage, lifecycleImage, runImage)
	files := map[string]string{
		"index.html": "one\n",
		"Procfile":   "clock: echo tick $((1 + 1))\nweb: static-server .\n",
	}
	first := f.mustBuild("static", f.source(files), map[string]string{"GREETING": "hello"})
	if first.Kind != "buildpack" || len(first.Launcher) != 1 || first.Processes["clock"] != "echo tick $((1 + 1))" {
		t.Errorf("result %+v", first)
	}
	f.says(first, "cat index.html; "+first.Processes["clock"], "one\ntick 2\n")
	f.says(first, "pwd; cd ~ && pwd && touch new && ls /app", "/app\n/app\nProcfile\nindex.html\nnew\n")
	// A project.toml leaves a file out, and names the buildpacks that are tried.
	files["index.html"], files["README.md"], files["project.toml"] = "two\n", "", "[io.buildpacks]\nexclude = [\"*.md\"]\n"+
		"[[io.buildpacks.group]]\nid = \"towline/procfile\"\n[[io.buildpacks.build.env]]\nname = \"GREETING\"\nvalue = \"x\"\n"
	second := f.mustBuild("static", f.source(files), nil)
	f.says(second, "cat index.html; ls", "two\nProcfile\nindex.html\nproject.toml\n")
	f.says(first, "cat index.html", "one\n")
}

// says runs a command as the app would.
func (f *fixture) says(result daemon.BuildResult, command, want string) {
	f.t.Helper()
	if got := f.output(result.Image.ID, result.Launcher, command); got != want {
		f.t.Errorf("%s says %q, want %q", command, got, want)
	}
}

// TestBuildpacksNode takes a real app with a dependency from the machine's npm
// registry through a first build, a change of code, and one of dependencies.
// TestBuildpacksNode changes code, then what it depends on. In `make test` the story of the Node.js
// example builds it.
func TestBuildpacksNode(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	f := newFixture(t, builderImage, lifecycleImage, runImage)
	f.trustMachine()
	files := map[string]string{
		"package.json": `{"name": "app", "version": "1.0.0", "scripts": {"start": "node index.js"}, "dependencies": {"express": "^4.18.0"}}`,
		"index.js":     `console.log(process.argv[2], require("express/package.json").name)`,
	}
	first := f.mustBuild("node", f.source(files), nil)
	if first.Processes["web"] == "" {
		t.Errorf("processes %v", first.Processes)
	}
	f.says(first, "node index.js one", "one express\n")
	files["index.js"] = `console.log("changed")`
	second := f.mustBuild("node", f.source(files), nil)
	f.says(second, "node index.js", "changed\n")
	files["package.json"] = `{"name": "app", "version": "1.0.0", "scripts": {"start": "node index.js"}, "dependencies": {"express": "^4.18.0", "left-pad": "1.3.0"}}`
	files["index.js"] = `console.log(require("left-pad")("x", 3))`
	third := f.mustBuild("node", f.source(files), nil)
	f.says(third, "node index.js", "  x\n")
}

// TestBuildpacksReplaced: the pusher reads what the builder and the run image really are.
func TestBuildpacksReplaced(t *testing.T) {
	f := newFixture(t, builderImage, lifecycleImage, runImage)
	other := "localhost/" + run + "/run:other"
	if err := f.engine.TagImage(t.Context(), runImage, other); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.engine.UntagImage(context.Background(), other) })
	f.options.Builder = "docker.io/heroku/builder:24"
	f.replace(map[string]string{"heroku/builder:24": builderImage, runImage: other})
	_, said, err := f.build("replaced", f.source(map[string]string{"index.html": "x"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, is := range map[string]string{f.options.Builder: builderImage, runImage: other} {
		image, err := f.engine.Image(t.Context(), is)
		if want := "       " + name + " is " + is + " here (" + image.ID[:12] + "), by [images] in towline.toml\n"; err != nil || !strings.Contains(said, want) {
			t.Errorf("%v: it is not said that %s", err, want)
		}
	}
	f.replace(map[string]string{"heroku/builder:24": "localhost/towline-test/gone:1"})
	_, _, err = f.build("replaced", f.source(map[string]string{"index.html": "x"}), nil)
	if e := failure(t, err); !strings.HasPrefix(e.Message, "localhost/towline-test/gone:1 is in the place of docker.io/heroku/builder:24") {
		t.Errorf("%q", e.Message)
	}
}
