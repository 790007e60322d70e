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

// TestDockerfileStages uses what one stage made in another, in all the ways there
// are, with a cache and without.
func TestDockerfileStages(t *testing.T) {
	f := newFixture(t, buildahImage, runImage, appImage)
	files := map[string]string{
		"Dockerfile": "FROM " + runImage + " AS made\nUSER root\nRUN mkdir /made && echo built > /made/thing\n" +
			"FROM made AS more\nRUN echo more >> /made/thing\n" +
			"FROM " + runImage + "\nUSER root\nCOPY --from=more /made/thing /one\n" +
			"RUN --mount=type=bind,from=made,source=/made,target=/m cp /m/thing /two\n" +
			"RUN --mount=type=cache,target=/cache echo x >> /cache/count; wc -l < /cache/count > /three\n" +
			"COPY --from=" + appImage + " / /app\n" +
			"COPY x /x\nENTRYPOINT [\"cat\"]\nCMD [\"/one\", \"/two\", \"/x\"]\n",
	}
	for _, x := range []string{"first\n", "second\n"} {
		files["x"] = x
		result := f.mustBuild("stages", f.source(files), nil)
		if got, want := f.output(result.Image.ID, nil), "built\nmore\nbuilt\n"+x; got != want {
			t.Errorf("the image says %q, want %q", got, want)
		}
	}
	// A step above the last one changes, after the cache knew all of them.
	files["Dockerfile"] = strings.Replace(files["Dockerfile"], "cp /m/thing /two", "cat /m/thing /m/thing > /two", 1)
	result := f.mustBuild("stages", f.source(files), nil)
	if got, want := f.output(result.Image.ID, nil), "built\nmore\nbuilt\nbuilt\nsecond\n"; got != want {
		t.Errorf("the image says %q, want %q", got, want)
	}
}
