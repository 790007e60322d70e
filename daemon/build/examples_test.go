package build_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestExamples builds the apps that newcomers push, then again after a change. `make test`
// has their stories, which push them.
func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	f := newFixture(t, builderImage, lifecycleImage, runImage)
	f.trustMachine()
	for name, mark := range map[string]string{"rails": "config.ru", "node": "package.json"} {
		t.Run(name, func(t *testing.T) {
			example, err := filepath.Abs(filepath.Join("../../examples", name))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(example, mark)); err != nil {
				t.Skipf("no example: %v", err)
			}
			for _, change := range []string{"", "changed"} {
				source := f.source(nil)
				if out, err := exec.Command("cp", "-a", example+"/.", source).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if err := os.WriteFile(filepath.Join(source, "change"), []byte(change), 0o644); err != nil {
					t.Fatal(err)
				}
				result := f.mustBuild("example-"+name, source, map[string]string{"SECRET_KEY_BASE": "0123456789abcdef"})
				if result.Processes["web"] == "" {
					t.Errorf("processes %v", result.Processes)
				}
				f.says(result, "cat change", change)
			}
		})
	}
}

// shortExample is the one of testdata/apps that `make test` builds: it asks no registry for anything.
const shortExample = "php-front"

// TestShapes builds the apps of testdata/apps, one for each shape of source that the Debian-built
// builder knows, and again, with a file more. What is before the files of each says what
// comes of it: a process type and its command; "get PATH" of the web process, or "run COMMAND", with
// what that says; or "refused", with what is said then.
func TestShapes(t *testing.T) {
	f := newFixture(t, builderImage, lifecycleImage, runImage)
	f.options.Timeout = 15 * time.Minute // Go compiles its library first
	f.trustMachine()
	apps, err := filepath.Glob("testdata/apps/*.txtar")
	if err != nil || len(apps) == 0 {
		t.Fatal("no apps", err)
	}
	for _, path := range apps {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		if testing.Short() && name != shortExample {
			continue
		}
		t.Run(name, func(t *testing.T) {
			f := &fixture{t: t, engine: f.engine, dir: f.dir, options: f.options, Builder: f.Builder}
			app, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{}
			for _, file := range app.Files {
				files[file.Name] = string(file.Data)
			}
			result, said, err := f.build("shape-"+name, f.source(files), nil)
			if err == nil && !testing.Short() {
				files["a file more"] = "x"
				result, said, err = f.build("shape-"+name, f.source(files), nil)
			}
			for line := range strings.Lines(string(app.Comment)) {
				key, want, _ := strings.Cut(strings.TrimSpace(line), ": ")
				what, of, _ := strings.Cut(key, " ")
				switch {
				case what == "#":
				case what == "refused":
					if err == nil || !strings.Contains(said+err.Error(), want) {
						t.Errorf("refused with %v, not %q", err, want)
					}
				case err != nil:
					t.Fatal(err)
				case what == "get":
					f.says(result, "export PORT=5000; ("+result.Processes["web"]+") >/tmp/said 2>&1 & "+get+of+" || cat /tmp/said", want+"\n")
				case what == "run":
					f.says(result, of, want+"\n")
				default:
					if got := result.Processes[what]; got != want {
						t.Errorf("the process type %s is %q, not %q", what, got, want)
					}
				}
			}
		})
	}
}

// get asks the web process, once it answers, for the path behind it.
const get = `python3 -c 'import sys, time, urllib.request
for _ in range(150):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:5000" + sys.argv[1]).read().decode().strip())
        break
    except OSError:
        time.sleep(0.2)
else:
    sys.exit("no answer")' `
