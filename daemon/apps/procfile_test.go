package apps

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"towline/daemon"
)

func TestParseProcfile(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want map[string]string
		err  string
	}{
		"rails": {
			text: "web: bundle exec puma -t 5:5 -p ${PORT:-3000} -e ${RACK_ENV:-development}\nworker: rake work\nrelease: rake db:migrate\n",
			want: map[string]string{
				"web":     "bundle exec puma -t 5:5 -p ${PORT:-3000} -e ${RACK_ENV:-development}",
				"worker":  "rake work",
				"release": "rake db:migrate",
			},
		},
		"comments, blanks, carriage returns": {text: "# processes\r\n\r\nweb: a\r\n", want: map[string]string{"web": "a"}},
		"byte order mark":                    {text: "\ufeffweb: a", want: map[string]string{"web": "a"}},
		"no space after the colon":           {text: "web:a", want: map[string]string{"web": "a"}},
		"colons in the command":              {text: "web: a -b :8080", want: map[string]string{"web": "a -b :8080"}},
		"no colon":                           {text: "web: a\nworker rake work", err: "line 2 has no colon"},
		"no web":                             {text: "worker: a", want: map[string]string{"worker": "a"}},
		"empty":                              {text: "\n# nothing\n", err: "defines no process"},
		"no command":                         {text: "web:", err: "web has no command"},
		"odd type":                           {text: "we b: a", err: "not a process type"},
		"path as type":                       {text: "../web: a", err: "not a process type"},
		"twice":                              {text: "web: a\nweb: b", err: "web is there twice"},
		"long type":                          {text: strings.Repeat("w", 31) + ": a", err: "not a process type"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseProcfile(c.text)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				if !daemon.IsKind(err, daemon.Invalid) {
					t.Errorf("error kind of %v is not invalid", err)
				}
				return
			}
			if err != nil || !maps.Equal(got, c.want) {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// TestWebBesideAProcfile: the build's own web process stays beside a Procfile that has none.
func TestWebBesideAProcfile(t *testing.T) {
	built := daemon.BuildResult{Processes: map[string]string{"web": "python bot.py", "console": "python"}}
	for name, c := range map[string]struct {
		procfile map[string]string
		want     []string
	}{
		"no Procfile":        {nil, []string{"console", "web"}},
		"only a release":     {map[string]string{"release": "migrate"}, []string{"release", "web"}},
		"a worker":           {map[string]string{"worker": "work"}, []string{"web", "worker"}},
		"its own web":        {map[string]string{"web": "serve"}, []string{"web"}},
		"the same, a worker": {map[string]string{"worker": "python  bot.py"}, []string{"worker"}},
	} {
		got := processes(c.procfile, built)
		if !slices.Equal(daemon.SortedKeys(got), c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if c.procfile["web"] != "" && got["web"].Command != "serve" {
			t.Errorf("%s: web is %v", name, got["web"])
		}
	}
	// A heroku.yml counts in the Procfile's place.
	built.Types = map[string]string{"worker": "work"}
	got := processes(map[string]string{"web": "serve", "clock": "tick"}, built)
	if !slices.Equal(daemon.SortedKeys(got), []string{"console", "web", "worker"}) || got["web"].Command != "python bot.py" {
		t.Errorf("beside a heroku.yml: %v", got)
	}
}

func TestShellCommand(t *testing.T) {
	for command, exec := range map[string]bool{
		"bundle exec puma -p ${PORT:-3000}": true,
		"node server.js > log":              true,
		"rake a && rake b":                  false,
		"FOO=bar node server.js":            false,
		"cd web; node server.js":            false,
		"exec node server.js":               false,
		"(a)":                               false,
		"":                                  false,
		" \t\n":                             false,
	} {
		line := shellCommand(command)[2]
		if got := line == "exec "+command; got != exec {
			t.Errorf("%q becomes %q", command, line)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for want, words := range map[string][]string{
		"ls -l | wc":      {"ls -l | wc"},
		"rake db:migrate": {"rake", "db:migrate"},
		`echo 'a b' '$x'`: {"echo", "a b", "$x"},
		`echo 'it'\''s'`:  {"echo", "it's"},
		`echo ''`:         {"echo", ""},
	} {
		if got := commandLine(words); got != want {
			t.Errorf("%q becomes %q, want %q", words, got, want)
		}
	}
}

func TestApplyChanges(t *testing.T) {
	types := map[string]daemon.Process{"web": {}, "worker": {}, "release": {}}
	old := daemon.Formation{"web": 1, "worker": 2}
	got, err := applyChanges(old, types, []Change{{Type: "web", Count: 3}, {Type: "worker", Count: -1, Relative: true}})
	if err != nil || !maps.Equal(got, daemon.Formation{"web": 3, "worker": 1}) {
		t.Errorf("got %v, %v", got, err)
	}
	for name, c := range map[string]Change{
		"unknown type":  {Type: "clock", Count: 1},
		"release phase": {Type: "release", Count: 1},
		"below zero":    {Type: "web", Count: -2, Relative: true},
		"too many":      {Type: "web", Count: maxProcesses + 1},
	} {
		if _, err := applyChanges(old, types, []Change{c}); !daemon.IsKind(err, daemon.Invalid) {
			t.Errorf("%s: error %v, want an invalid one", name, err)
		}
	}
	if !maps.Equal(old, daemon.Formation{"web": 1, "worker": 2}) {
		t.Error("the old formation was changed")
	}
}

// TestUnreadableSource: what is not a small file in the source itself is not read, and the
// error says what to do.
func TestUnreadableSource(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a link that leads out": func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a directory":           func(path string) error { return os.Mkdir(path, 0o755) },
		"a large file":          func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("#\n"), 1<<20), 0o644) },
	} {
		dir := t.TempDir()
		if err := make(filepath.Join(dir, "Procfile")); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = readSmall(root, "Procfile")
		root.Close()
		var e *daemon.Error
		if !errors.As(err, &e) || e.Kind != daemon.Invalid || !strings.Contains(e.Hint, "as a plain file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
