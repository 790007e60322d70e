package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBuildpack: the build says which folder is served, and what of a static.json is not heeded.
func TestBuildpack(t *testing.T) {
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("jq is missing")
	}
	build, err := filepath.Abs("../buildpacks/static/bin/build")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config, served string
		said           []string
		fails          bool
	}{
		{config: "", served: `"static-server", "public"`},
		{config: `{"root": "dist"}`, served: `"static-server", "dist"`},
		{config: `{"root": "dist", "routes": {"/**": "index.html"}, "clean_urls": true}`, served: `"static-server", "dist"`, said: []string{`"routes" has no effect`, `"clean_urls" has no effect`}},
		{config: `{"root": "nosuch"}`, said: []string{"nosuch, which is not a folder"}, fails: true},
	} {
		source, layers, buildpack := t.TempDir(), t.TempDir(), t.TempDir()
		write := func(path, text string) {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		write(filepath.Join(buildpack, "static-server"), "")
		write(filepath.Join(source, "public/index.html"), "home")
		write(filepath.Join(source, "dist/index.html"), "home")
		if c.config != "" {
			write(filepath.Join(source, "static.json"), c.config)
		}
		cmd := exec.CommandContext(t.Context(), "bash", build)
		cmd.Dir, cmd.Env = source, append(os.Environ(), "CNB_LAYERS_DIR="+layers, "CNB_BUILDPACK_DIR="+buildpack)
		out, err := cmd.CombinedOutput()
		launch, _ := os.ReadFile(filepath.Join(layers, "launch.toml"))
		if c.fails != (err != nil) || !strings.Contains(string(launch), c.served) || strings.Count(string(out), "no effect") > len(c.said) {
			t.Errorf("%s: %v\n%s%s", c.config, err, out, launch)
		}
		for _, want := range c.said {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: it says\n%s", c.config, out)
			}
		}
	}
}
