package build

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"towline/daemon"
)

func TestProject(t *testing.T) {
	p, err := parseProject(`
[_]
schema-version = "0.2"
id = "shop"
[_.metadata]
anything = ["goes"]
[_.metadata.deep]
er = 1
[[_.licenses]]
type = "MIT"
[io.buildpacks]
exclude = ["/README.md", "docs/"]
[[io.buildpacks.group]]
id = "acme/node"
[[io.buildpacks.group]]
uri = "urn:cnb:builder:acme/procfile@1"
[[io.buildpacks.build.env]]
name = "NODE_ENV"
value = "production"
[com.acme]
x = 1
`)
	if err != nil || p.env["NODE_ENV"] != "production" || !slices.Equal(p.exclude, []string{"/README.md", "docs/"}) || len(p.notes) > 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	have := []buildpackRef{{ID: "acme/node", Version: "3"}, {ID: "acme/procfile", Version: "2"}, {ID: "acme/procfile", Version: "1"}}
	order, err := p.order(have)
	want := "[[order]]\n[[order.group]]\nid = \"acme/node\"\nversion = \"3\"\n[[order.group]]\nid = \"acme/procfile\"\nversion = \"1\"\n"
	if err != nil || order != want {
		t.Errorf("%s, %v", order, err)
	}
	for _, bp := range []buildpackRef{{ID: "acme/ruby"}, {ID: "acme/node", Version: "4"}, {URI: "docker://x"}, {URI: "./mine"}, {ID: "acme/node", Script: map[string]any{}}} {
		_, err := project{group: []buildpackRef{bp}}.order(have)
		var e *daemon.Error
		if !errors.As(err, &e) || !strings.Contains(e.Message, "does not have") || e.Hint != "it has: acme/node, acme/procfile" {
			t.Errorf("%+v: %v", bp, err)
		}
	}
	if order, err := (project{}).order(have); order != "" || err != nil {
		t.Errorf("without a group: %q, %v", order, err)
	}
	// The second of the specification's two places for the same.
	if p, err := parseProject("[io.buildpacks.build]\ninclude = [\"*.go\"]\n[[io.buildpacks.build.buildpacks]]\nid = \"acme/node\"\n"); err != nil || len(p.include) != 1 || len(p.group) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestProjectRefused(t *testing.T) {
	for text, want := range map[string]string{
		"[io.buildpacks":                                                    "line 1",
		"\n[io.buildpacks]\nexclude = 3":                                    "exclude",
		"[io.buildpacks]\nexclude = ['a']\ninclude = ['b']":                 "both include and exclude",
		"[[io.buildpacks.build.env]]\nname = 'A-B'\nvalue = ''":             "not allowed",
		"[[io.buildpacks.build.env]]\nname = 'A'\nvalue = \"\\u0000\"":      "NUL",
		"[io.buildpacks.pre]\n[[io.buildpacks.pre.group]]\nuri = 'x'":       "pre and post",
		"[io.buildpacks]\nexclude = [" + strings.Repeat("'a',", 1001) + "]": "patterns",
	} {
		if p, err := parseProject(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v", text[:min(60, len(text))], p, err)
		}
	}
}

// TestLeaveOut: patterns are those of .gitignore, and what a link points to stays.
func TestLeaveOut(t *testing.T) {
	all := map[string]string{"README.md": "", "sub/README.md": "", "docs/a": "", "docs/deep/b": "", "main.go": "", "sub/x.go": "", "link": "-> main.go", "docs/keep.txt": ""}
	for name, c := range map[string]struct {
		p    project
		left string
	}{
		"nothing":   {project{}, "README.md docs/a docs/deep/b docs/keep.txt link main.go sub/README.md sub/x.go"},
		"exclude":   {project{exclude: []string{"/README.md", "docs/", "link", "# no pattern"}}, "main.go sub/README.md sub/x.go"},
		"exception": {project{exclude: []string{"docs/*", "!docs/keep.txt"}}, "README.md docs/keep.txt link main.go sub/README.md sub/x.go"},
		"include":   {project{include: []string{"*.go", "docs/deep/"}}, "docs/deep/b main.go sub/x.go"},
		"all":       {project{exclude: []string{"*"}}, ""},
	} {
		dir := files(t, all)
		n, err := c.p.leaveOut(t.Context(), dir)
		var left []string
		err = errors.Join(err, fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
			if !e.IsDir() {
				left = append(left, path)
			} else if entries, _ := os.ReadDir(dir + "/" + path); len(entries) == 0 && path != "." {
				t.Errorf("%s: the empty directory %s is left", name, path)
			}
			return err
		}))
		if got := strings.Join(left, " "); err != nil || got != c.left || n != len(all)-len(left) {
			t.Errorf("%s: %s left, %d gone, %v", name, got, n, err)
		}
	}
}

// TestProjectIsBounded: what a stranger writes takes the daemon neither long nor much memory.
func TestProjectIsBounded(t *testing.T) {
	for text, want := range map[string]string{
		"a = " + strings.Repeat("{a=", 15_000):                                  "line 1: this is nested",
		"x = 1\n" + strings.Repeat("a.", 30_000) + "a = 1":                      "line 2: this is nested",
		"[io.buildpacks]\nexclude = [\"" + strings.Repeat("*", 60_000) + "b\"]": "longer than 16 KiB",
	} {
		if _, err := parseProject(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
	dir := files(t, map[string]string{"a": "", "b": ""})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("cancelled"))
	if _, err := (project{exclude: []string{"*"}}).leaveOut(ctx, dir); err == nil || err.Error() != "cancelled" {
		t.Errorf("a look at files goes on: %v", err)
	}
	p, err := parseProject("[io.buildpacks]\nbuilder = \"\\u001b[31mx\\nremote: y\"\n")
	if err != nil || strings.ContainsAny(p.notes[0], "\x1b\n") {
		t.Errorf("%q, %v", p.notes, err)
	}
}
