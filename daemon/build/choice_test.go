package build

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"towline/daemon"
)

// files writes a source. A value that begins with "-> " makes a link.
func files(t *testing.T, list map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range list {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = errors.Join(err, os.Symlink(to, path))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func chosen(kind, path, target string) daemon.BuilderChoice {
	return daemon.BuilderChoice{Kind: kind, Path: path, Target: target}
}

func TestChoose(t *testing.T) {
	const web = "build:\n  docker:\n    web: "
	for name, c := range map[string]struct {
		files  map[string]string
		choice daemon.BuilderChoice
		want   method // dockerfile, context, target, instead
		why    string
		note   string
	}{
		"nothing":                   {nil, chosen("", "", ""), method{instead: "dockerfile --path PATH"}, "no Dockerfile", ""},
		"a Dockerfile":              {map[string]string{"Dockerfile": ""}, chosen("", "", ""), method{dockerfile: "Dockerfile", context: ".", instead: "buildpacks"}, "at its top", ""},
		"a Dockerfile not wanted":   {map[string]string{"Dockerfile": ""}, chosen("buildpacks", "", ""), method{}, "builder:set", ""},
		"a Dockerfile asked for":    {map[string]string{"Containerfile": ""}, chosen("dockerfile", "", "app"), method{dockerfile: "Containerfile", context: ".", target: "app"}, "builder:set", ""},
		"one of several":            {map[string]string{"Dockerfile": "", "ops/prod.docker": ""}, chosen("dockerfile", "./ops/prod.docker", ""), method{dockerfile: "ops/prod.docker", context: "."}, "builder:set", ""},
		"heroku.yml":                {map[string]string{"Dockerfile": "", "app/Dockerfile": "", "heroku.yml": web + "app/Dockerfile"}, chosen("", "", ""), method{dockerfile: "app/Dockerfile", context: "app", instead: "buildpacks"}, "heroku.yml names it", ""},
		"heroku.yml and a Procfile": {map[string]string{"Dockerfile": "", "heroku.yml": web + "Dockerfile", "Procfile": "web: x"}, chosen("", "", ""), method{dockerfile: "Dockerfile", context: ".", instead: "buildpacks"}, "heroku.yml", "the Procfile is not looked at"},
		"heroku.yml not wanted":     {map[string]string{"Dockerfile": "", "heroku.yml": web + "none"}, chosen("buildpacks", "", ""), method{}, "builder:set", ""},
		"heroku.yml, another path":  {map[string]string{"Dockerfile": "", "heroku.yml": web + "none"}, chosen("dockerfile", "Dockerfile", ""), method{dockerfile: "Dockerfile", context: "."}, "builder:set", ""},
		"heroku.yml without docker": {map[string]string{"heroku.yml": "run:\n  web: x\n"}, chosen("", "", ""), method{instead: "dockerfile --path PATH"}, "no Dockerfile", "write them in a Procfile"},
		"a stage of heroku.yml":     {map[string]string{"Dockerfile": "", "heroku.yml": web + "{dockerfile: Dockerfile, target: prod}"}, chosen("", "", ""), method{dockerfile: "Dockerfile", context: ".", target: "prod", instead: "buildpacks"}, "heroku.yml", ""},
		"project.toml":              {map[string]string{"project.toml": "[io.buildpacks]\nbuilder = \"x\"\n"}, chosen("", "", ""), method{instead: "dockerfile --path PATH"}, "no Dockerfile", "the builder x is not taken"},
	} {
		m, err := choose(files(t, c.files), c.choice)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.dockerfile != c.want.dockerfile || m.context != c.want.context || m.target != c.want.target || m.instead != c.want.instead || !strings.Contains(m.why, c.why) {
			t.Errorf("%s: %+v", name, m)
		}
		if notes := strings.Join(m.notes, "\n"); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
			t.Errorf("%s: says %q", name, notes)
		}
	}
}

// TestChooseRefuses: what leads out of the source, or is no plain file, is never built.
func TestChooseRefuses(t *testing.T) {
	outside := filepath.Join(files(t, map[string]string{"Dockerfile": "FROM x"}), "Dockerfile")
	for name, c := range map[string]struct {
		files  map[string]string
		choice daemon.BuilderChoice
		want   string
	}{
		"no such builder":              {nil, chosen("nix", "", ""), `no builder "nix"`},
		"none at the top":              {nil, chosen("dockerfile", "", ""), "no Dockerfile at the top"},
		"not there":                    {nil, chosen("dockerfile", "a/b", ""), "no file a/b"},
		"upwards":                      {nil, chosen("dockerfile", "../Dockerfile", ""), "leads out of the source"},
		"upwards later":                {nil, chosen("dockerfile", "a/../../Dockerfile", ""), "leads out of the source"},
		"absolute":                     {nil, chosen("dockerfile", "/etc/passwd", ""), "leads out of the source"},
		"a control character":          {nil, chosen("dockerfile", "a\nb", ""), "not the path"},
		"a path for buildpacks":        {nil, chosen("buildpacks", "Dockerfile", ""), "a Dockerfile's"},
		"no stage's name":              {nil, chosen("dockerfile", "", "--x"), "not the name of a stage"},
		"a link":                       {map[string]string{"x": "-> " + outside}, chosen("dockerfile", "x", ""), "not a file"},
		"a link within":                {map[string]string{"x": "-> y", "y": "FROM x"}, chosen("dockerfile", "x", ""), "not a file"},
		"below a link":                 {map[string]string{"d": "-> " + filepath.Dir(outside)}, chosen("dockerfile", "d/Dockerfile", ""), "not a file"},
		"below a link within":          {map[string]string{"d": "-> e", "e/Dockerfile": "FROM x"}, chosen("dockerfile", "d/Dockerfile", ""), "not a file"},
		"below a file":                 {map[string]string{"d": "x"}, chosen("dockerfile", "d/Dockerfile", ""), "not a file"},
		"a directory":                  {map[string]string{"d/x": "x"}, chosen("dockerfile", "d", ""), "not a file"},
		"heroku.yml upwards":           {map[string]string{"heroku.yml": "build: {docker: {web: ../Dockerfile}}"}, chosen("", "", ""), "line 1: build.docker web: the path"},
		"heroku.yml below a link":      {map[string]string{"heroku.yml": "build: {docker: {web: d/Dockerfile}}", "d": "-> " + filepath.Dir(outside)}, chosen("", "", ""), "not a file"},
		"heroku.yml is a link":         {map[string]string{"heroku.yml": "-> /etc/passwd"}, chosen("", "", ""), "heroku.yml is not a file"},
		"heroku.yml names what is not": {map[string]string{"heroku.yml": "build: {docker: {web: d/Dockerfile}}"}, chosen("", "", ""), "which is not in the source"},
		"project.toml is a link":       {map[string]string{"project.toml": "-> /etc/passwd"}, chosen("", "", ""), "project.toml is not a file"},
	} {
		m, err := choose(files(t, c.files), c.choice)
		var e *daemon.Error
		if !errors.As(err, &e) || e.Kind != daemon.Invalid || !strings.Contains(e.Message, c.want) || e.Hint == "" {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func TestTargets(t *testing.T) {
	file := parseContainerfile("FROM a AS Build\nFROM b\nFROM Build as final\n", nil)
	for target, fine := range map[string]bool{"": true, "Build": true, "final": true, "1": true, "0": false, "build": false, "none": false} {
		err := method{dockerfile: "Dockerfile", target: target}.checkTarget(file)
		if (err == nil) != fine {
			t.Errorf("%q: %v", target, err)
		}
		if e, ok := err.(*daemon.Error); ok && e.Hint != "its stages are: Build, 1, final" {
			t.Errorf("%q: %s", target, e.Hint)
		}
	}
}

func TestHerokuYML(t *testing.T) {
	f, err := parseHerokuYML([]byte(`
setup:
  addons: [{plan: heroku-postgresql}]
  config: &common
    LEVEL: 3
    ON: yes
build:
  docker:
    web: ./docker/Dockerfile
    worker:
      dockerfile: docker/Dockerfile
    release: {dockerfile: docker/Dockerfile, target: deps}
  config:
    <<: *common
    RAILS_ENV: production
release:
  image: web
  command:
    - rake db:migrate
    - rake cache
run:
  web: puma -p $PORT
  syncer:
    command: [python sync.py]
    image: worker
extra: 1
`))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"LEVEL": "3", "ON": "yes", "RAILS_ENV": "production"}; !maps.Equal(f.config, want) {
		t.Errorf("config %v", f.config)
	}
	if want := map[string]string{"web": "puma -p $PORT", "syncer": "python sync.py", "release": "rake db:migrate && rake cache"}; !maps.Equal(f.types(), want) {
		t.Errorf("types %v", f.types())
	}
	if got := f.defaults(); !slices.Equal(got, []string{"worker"}) {
		t.Errorf("run their image's command: %v", got)
	}
	if image, err := f.image(); err != nil || image != (dockerImage{"docker/Dockerfile", ""}) {
		t.Errorf("image %v, %v", image, err)
	}
	for _, note := range []string{"addons:create", "config:set", "extra has no effect"} {
		if !strings.Contains(strings.Join(f.notes, "\n"), note) {
			t.Errorf("says nothing of %s: %q", note, f.notes)
		}
	}
	// Without a run section the image's own command is web's.
	f, err = parseHerokuYML([]byte("build:\n  docker:\n    web: Dockerfile\n"))
	if err != nil || f.types() == nil || len(f.types()) > 0 {
		t.Errorf("%v, %v", f, err)
	}
}

// A section may have nothing in it, and a list's commands comments and operators.
func TestHerokuYMLSections(t *testing.T) {
	f, err := parseHerokuYML([]byte("build:\n  docker:\n    web: D\n  config:\nrun:\nsetup:\nrelease:\n  command: [a || b, 'c # d', e]\n"))
	if err != nil || f.types()["release"] != "{ a || b\n} && { c # d\n} && e" {
		t.Errorf("%+v, %v", f, err)
	}
	text := "build: {docker: {web: D}}\nrun:\n"
	for i := range daemon.MaxProcessTypes + 1 {
		text += fmt.Sprintf("  w%d: x\n", i)
	}
	if _, err := parseHerokuYML([]byte(text)); err == nil || !strings.Contains(err.Error(), "at most 100") {
		t.Errorf("many types: %v", err)
	}
	text = "\"\\e[2Jx\\nremote: hi\": 1\n"
	for i := range 1000 {
		text += fmt.Sprintf("k%d: x\n", i)
	}
	f, err = parseHerokuYML([]byte(text))
	if err != nil || len(f.notes) > maxNotes+1 || strings.ContainsAny(strings.Join(f.notes, ""), "\x1b\n") {
		t.Errorf("%d notes, %q, %v", len(f.notes), f.notes[0], err)
	}
}

func TestHerokuYMLRefused(t *testing.T) {
	for text, want := range map[string]string{
		"build: [":                        "line 1",
		"- web":                           "line 1: the file is not a list of names",
		"build:\n  docker: Dockerfile":    "line 2: build.docker is not a list of names",
		"build:\n  docker:\n    web: [a]": "line 3: build.docker web is not a text",
		"build:\n  docker:\n    web:":     "line 3: build.docker web is not a text",
		"build:\n  docker:\n    'a b': x": "not a process type",
		"run:\n  web: {image: x}":         "run web has no command",
		"run:\n  web: ['']":               "empty command",
		"run:\n  web: []":                 "no command",
		"run:\n  web: a\n  web: b":        "already defined",
		"build:\n  config:\n    A-B: x":   `"A-B" is not allowed`,
		"build:\n  config:\n    A: [x]":   "build.config A is not a text",
		"a: &a [*a]\nbuild: *a":           "build is not a list",
		"build: {docker: {web: D}}\nrun:\n  w: {command: c, image: none}":      "image of none",
		"build: {docker: {web: D}}\nrelease: {command: c, image: none}":        "release is to run in the image of none",
		"build: {docker: {web: {dockerfile: D, target: '-x'}}}\nrun: {web: x}": "not the name of a stage",
	} {
		if f, err := parseHerokuYML([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v", text, f, err)
		}
	}
	f, err := parseHerokuYML([]byte("build: {docker: {web: Dockerfile, worker: w/Dockerfile}}\nrun: {web: a, worker: b}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.image(); err == nil || !strings.Contains(err.Error(), "web from Dockerfile and worker from w/Dockerfile") {
		t.Errorf("two images: %v", err)
	}
}
