package apps

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"towline/daemon"
)

func TestParseManifest(t *testing.T) {
	for _, c := range []struct {
		text      string
		env       map[string]string
		secrets   string
		formation daemon.Formation
		ignored   string // begins of lines
	}{
		{text: `{}`},
		{text: `{"name": "shop", "keywords": ["a"], "healthchecks": {}}`},
		{text: `{"env": {"A": "1", "B": {"value": ""}, "C": {"description": "d", "required": false}}}`, env: map[string]string{"A": "1", "B": ""}},
		{text: `{"env": {"KEY": {"generator": "secret"}}}`, secrets: "KEY"},
		{text: `{"formation": {"web": {"quantity": 2}, "worker": {"quantity": 0}}}`, formation: daemon.Formation{"web": 2, "worker": 0}},
		{text: `{"formation": {"web": {"size": "standard-1x"}}}`, ignored: "formation web"},
		{text: `{"addons": ["redis"], "scripts": {"postdeploy": "x"}, "stack": "heroku-24", "Env": {}}`, ignored: "Env addons scripts stack"},
	} {
		m, err := parseManifest([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
		}
		var ignored []string
		for _, line := range m.ignored {
			begin, _, _ := strings.Cut(line, ":")
			ignored = append(ignored, begin)
		}
		if !maps.Equal(m.env, c.env) || strings.Join(m.secrets, " ") != c.secrets || !maps.Equal(m.formation, c.formation) || strings.Join(ignored, " ") != c.ignored {
			t.Errorf("%s: %+v", c.text, m)
		}
	}
	for text, want := range map[string]string{
		`[]`:                                            "not valid",
		`{"env": []}`:                                   "env is not an object",
		`{"env": {"A": 1}}`:                             "neither a text nor an object",
		`{"env": {"A B": "1"}}`:                         "not allowed",
		`{"env": {"PORT": "80"}}`:                       "set by Towline itself",
		`{"env": {"TOWLINE_APP": "x"}}`:                 "set by Towline itself",
		`{"env": {"A": {"generator": "uuid"}}}`:         `no generator "uuid"`,
		`{"formation": [1]}`:                            "formation is not an object",
		`{"formation": {"web": {"quantity": -1}}}`:      "not possible",
		`{"formation": {"web": {"quantity": 1000000}}}`: "not possible",
		`{"formation": {"web": {"quantity": "2"}}}`:     "formation is not an object",
	} {
		if _, err := parseManifest([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestExamplesPromiseWhatIsDone: nothing in the app.json of an example is without effect.
func TestExamplesPromiseWhatIsDone(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/app.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := parseManifest(text); err != nil || len(m.ignored) > 0 {
			t.Errorf("%s: %q, %v", file, m.ignored, err)
		}
		if _, err := parseAppJSON(text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestManifestConfig: what an app has is never changed.
func TestManifestConfig(t *testing.T) {
	m := appManifest{env: map[string]string{"A": "new", "B": "b"}, secrets: []string{"KEY", "OLD"}}
	got := m.config(map[string]string{"A": "kept", "OLD": "kept"})
	if len(got["KEY"]) != 64 || got["KEY"] == m.config(nil)["KEY"] {
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
