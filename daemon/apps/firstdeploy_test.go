package apps

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/appjson"
)

// TestManifestConfig: what an app has is never changed.
func TestManifestConfig(t *testing.T) {
	m := appjson.File{Env: map[string]string{"A": "new", "B": "b"}, Secrets: []string{"KEY", "OLD"}}
	got := withManifest(map[string]string{"A": "kept", "OLD": "kept"}, m)
	if len(got["KEY"]) != 64 || got["KEY"] == withManifest(nil, m)["KEY"] {
		t.Errorf("the secret is %q", got["KEY"])
	}
	delete(got, "KEY")
	if want := map[string]string{"A": "kept", "B": "b", "OLD": "kept"}; !maps.Equal(got, want) {
		t.Errorf("config is %v, want %v", got, want)
	}
}

func TestMisspelt(t *testing.T) {
	for _, c := range []struct {
		files []string
		want  []string
	}{
		{[]string{"Procfile", "Dockerfile", "app.json"}, nil},
		{[]string{"procfile"}, []string{"procfile"}},
		{[]string{"PROCFILE", "dockerfile", "App.JSON"}, []string{"App.JSON", "PROCFILE", "dockerfile"}},
		{[]string{"Procfile", "procfile"}, nil},
		{[]string{"procfile.local", "docs"}, nil},
	} {
		dir := t.TempDir()
		for _, name := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		notes, err := misspelt(root)
		root.Close()
		var got []string
		for _, n := range notes {
			got = append(got, strings.Fields(n)[2])
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, %v; want %v", c.files, got, err, c.want)
		}
	}
}

func TestStartedBy(t *testing.T) {
	for _, c := range []struct {
		entrypoint []string
		command    string
		want       []string
	}{
		{nil, "puma -p 1", []string{"/bin/sh", "-c", "exec puma -p 1"}},
		{[]string{}, "puma", []string{"/bin/sh", "-c", "exec puma"}},
		{[]string{"/bin/sh", "-c", "start"}, "puma", []string{"/bin/sh", "-c", "exec puma"}}, // a line takes no command
		{[]string{"/entry"}, "puma -p 1", []string{"/entry", "puma", "-p", "1"}},
		{[]string{"python", "-u"}, "app.py", []string{"python", "-u", "app.py"}},
		{[]string{"/entry"}, "puma -p $PORT", []string{"/entry", "/bin/sh", "-c", "exec puma -p $PORT"}},
		{[]string{"/entry"}, "exit 42", []string{"/entry", "/bin/sh", "-c", "exit 42"}},
		{[]string{"/entry"}, "a && b", []string{"/entry", "/bin/sh", "-c", "a && b"}},
		{[]string{"/entry"}, "A=1 b", []string{"/entry", "/bin/sh", "-c", "A=1 b"}},
		{[]string{"/entry"}, "say 'a b'", []string{"/entry", "/bin/sh", "-c", "exec say 'a b'"}},
	} {
		first, args := startedBy(c.entrypoint, c.command)
		if got := slices.Concat(first, args); !slices.Equal(got, c.want) {
			t.Errorf("%q with %q: %q, want %q", c.command, c.entrypoint, got, c.want)
		}
	}
	built := daemon.BuildResult{Image: daemon.Image{Entrypoint: []string{"/entry"}}, Processes: map[string]string{"web": "/entry x"}}
	if p := processes(map[string]string{"web": "puma"}, built)["web"]; !slices.Equal(p.Entrypoint, []string{"/entry"}) || !slices.Equal(p.Args, []string{"puma"}) {
		t.Errorf("with a Procfile: %+v", p)
	}
	if p := processes(nil, built)["web"]; p.Entrypoint != nil || p.Args != nil {
		t.Errorf("without one: %+v", p)
	}
}

// TestWindowsScripts: a script of the source that a Procfile starts is looked at, and nothing else.
func TestWindowsScripts(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"windows.sh": "#!/bin/sh\r\nserve\r\n", "unix.sh": "#!/bin/sh\nserve\n", "page": "hello\r\n", "long": "#!" + strings.Repeat("x", 1000) + "\r\n", "bare": "#!/bin/sh\r",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "x.sh")
	if err := errors.Join(os.WriteFile(outside, []byte("#!/bin/sh\r\n"), 0o600), os.Symlink(outside, filepath.Join(dir, "link")), os.Mkdir(filepath.Join(dir, "bin"), 0o700)); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for command, want := range map[string]int{
		"./windows.sh": 1, "exec ./windows.sh x": 1, "bin/../windows.sh": 1, "windows.sh": 0, "./unix.sh": 0, "./page": 0, "./long": 0, "./bare": 0,
		"./none": 0, "./link": 0, "bin/": 0, outside: 0, "../" + filepath.Base(dir) + "/windows.sh": 0, "exec": 0,
	} {
		notes := windowsScripts(root, map[string]string{"web": command, "worker": command})
		if len(notes) != want || want > 0 && !strings.HasPrefix(notes[0], "windows.sh has the line ends of Windows") {
			t.Errorf("%q: %q", command, notes)
		}
	}
}

func TestElsewhere(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"render.yaml", "fly.toml", "Aptfile", "Procfile"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "CHECKS"), 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	want := []string{
		"render.yaml, fly.toml has no effect here: commands go into a Procfile, config vars into app.json",
		"Aptfile has no effect here: a Dockerfile installs packages of the system",
	}
	if got := elsewhere(root); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestNothingToRun: the hint is for the source's own language.
func TestNothingToRun(t *testing.T) {
	for _, c := range []struct{ kind, file, want string }{
		{"dockerfile", "package.json", "a CMD"}, {"buildpack", "package.json", `a script "start", or add a Procfile with a line like "web: node index.js"`},
		{"buildpack", "Gemfile", "bundle exec puma"}, {"buildpack", "requirements.txt", "gunicorn"}, {"buildpack", "README", "./server --port $PORT"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, c.file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var e *daemon.Error
		if err := nothingToRun(dir, c.kind); !errors.As(err, &e) || e.Kind != daemon.Invalid || !strings.Contains(e.Hint, c.want) {
			t.Errorf("%v: %v", c, err)
		}
	}
}
