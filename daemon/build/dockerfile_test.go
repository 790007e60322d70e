package build_test

import (
	"strings"
	"testing"
)

func TestDockerfile(t *testing.T) {
	f := newFixture(t, buildahImage, runImage)
	files := map[string]string{
		"Dockerfile": "ARG BASE=" + runImage + "\nFROM ${BASE}\nUSER root\nSHELL [\"/bin/bash\", \"-c\"]\n" +
			"RUN [[ -d / ]] && echo building > /built\nCOPY . /app\nHEALTHCHECK CMD true\nCMD [\"cat\", \"/app/version\", \"/built\"]\n",
		"version": "one\n",
		"a b'c":   "x",
	}
	first := f.mustBuild("shop", f.source(files), nil)
	if first.Kind != "dockerfile" || first.Launcher != nil || first.Processes["web"] != "cat /app/version /built" {
		t.Errorf("result %+v", first)
	}
	if got := f.output(first.Image.ID, nil); got != "one\nbuilding\n" {
		t.Errorf("first image says %q", got)
	}
	files["version"] = "two\n"
	second, said, err := f.build("shop", f.source(files), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said, "(cached)") {
		t.Error("the second build did not use the first's layers")
	}
	if got := f.output(second.Image.ID, nil); got != "two\nbuilding\n" {
		t.Errorf("second image says %q", got)
	}
	if got := f.output(first.Image.ID, nil); got != "one\nbuilding\n" {
		t.Errorf("first image then says %q", got)
	}
	// The same once more: nothing is built, and nothing new is loaded.
	third := f.mustBuild("shop", f.source(files), nil)
	if got := f.output(third.Image.ID, nil); got != "two\nbuilding\n" {
		t.Errorf("third image says %q", got)
	}
}
