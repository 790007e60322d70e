package build_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"towline/daemon/podman"
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

// TestDockerfileOfHerokuYML builds a stage of a Dockerfile below the top, which copies from
// its own directory, with a build argument of heroku.yml's.
func TestDockerfileOfHerokuYML(t *testing.T) {
	f := newFixture(t, buildahImage, runImage)
	result, said, err := f.build("manifest", f.source(map[string]string{
		"heroku.yml": "build:\n  docker:\n    web: {dockerfile: ops/Dockerfile, target: app}\n  config:\n    WORD: spoken\n    UNUSED: x\nrun:\n  web: serve\n",
		"Dockerfile": "FROM none\n", "file": "top\n", "ops/file": "ops\n",
		"ops/Dockerfile": "FROM " + runImage + " AS app\nARG WORD\nUSER root\nCOPY file /file\nRUN echo $WORD $UNUSED >> /file\nCMD [\"cat\", \"/file\"]\nFROM app\nCMD [\"false\"]\n",
	}), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if got := f.output(result.Image.ID, nil); got != "ops\nspoken\n" || result.Types["web"] != "serve" {
		t.Errorf("the image says %q, and runs %v", got, result.Types)
	}
	if !strings.Contains(said, "-----> Building with ops/Dockerfile, stage app: heroku.yml names it\n       towline builder:set buildpacks chooses otherwise\n") {
		t.Errorf("the pusher reads %s", said)
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

// TestDockerfileTogether builds different apps at once, on a base image that none
// has used before.
func TestDockerfileTogether(t *testing.T) {
	f := newFixture(t, buildahImage, appImage)
	f.options.Dir = t.TempDir()
	f.open()
	var group sync.WaitGroup
	for _, app := range []string{"one", "two", "three"} {
		source := f.source(map[string]string{"Dockerfile": "FROM " + appImage + "\nCOPY name /name\n", "name": app})
		req := f.request(app, source, nil)
		group.Go(func() {
			if result, err := f.Build(t.Context(), req, nil); err != nil || len(result.Image.Refs) == 0 {
				t.Errorf("app %s: %+v, error %v", app, result, err)
			}
		})
	}
	group.Wait()
	if bases, err := os.ReadDir(filepath.Join(f.options.Dir, "bases")); err != nil || len(bases) != 1 {
		t.Errorf("bases %v, error %v", bases, err)
	}
	for _, app := range []string{"one", "two", "three"} {
		if err := f.RemoveCaches(t.Context(), app); err != nil {
			t.Error(err)
		}
	}
	if bases, err := os.ReadDir(filepath.Join(f.options.Dir, "bases")); err != nil || len(bases) != 0 {
		t.Errorf("bases %v, error %v, though no app is left", bases, err)
	}
}

// TestDockerfileCacheAndItsBases builds an app again after something happened to what its
// cache rests upon, so that a step follows upon one that the cache has.
func TestDockerfileCacheAndItsBases(t *testing.T) {
	f := newFixture(t, buildahImage, appImage)
	f.options.Dir = t.TempDir()
	f.open()
	store := filepath.Join(f.options.Dir, "apps", "stays", "dockerfile", "store", "overlay")
	for i, test := range []struct {
		name   string
		happen func() error
		want   string // in the output of the build after it
	}{
		{"nothing", func() error { return nil }, ""},
		{"another app on the same base was destroyed", func() error {
			f.mustBuild("goes", f.source(map[string]string{"Dockerfile": "FROM " + appImage + "\nCOPY Dockerfile /x\n"}), nil)
			return f.RemoveCaches(t.Context(), "goes")
		}, "(cached)"},
		{"the base was lost, and is unpacked anew", func() error {
			return removeAll(filepath.Join(f.options.Dir, "bases", "*"))
		}, ""},
		{"layers of the cache are lost, as by a power cut", func() error {
			return removeAll(filepath.Join(store, "*"))
		}, "Once more, with a new cache"},
	} {
		if err := test.happen(); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintln(i)
		_, said, err := f.build("stays", f.source(map[string]string{
			"Dockerfile": "FROM " + appImage + "\nCOPY name /name\nCOPY text /text\n", "name": "stays", "text": text,
		}), nil)
		if err != nil || !strings.Contains(said, test.want) {
			t.Errorf("after this: %s: error %v, output without %q:\n%s", test.name, err, test.want, said)
		}
	}
}

func removeAll(pattern string) error {
	paths, err := filepath.Glob(pattern)
	for _, path := range paths {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// TestDockerfileCacheIsBounded builds the same app over and over: what earlier
// builds left in its store goes, what is of use stays.
func TestDockerfileCacheIsBounded(t *testing.T) {
	f := newFixture(t, buildahImage, appImage)
	stored := func() int {
		layers, err := os.ReadDir(filepath.Join(f.options.Dir, "apps", "often", "dockerfile", "store", "overlay"))
		if err != nil {
			t.Fatal(err)
		}
		return len(layers)
	}
	var sizes []int
	for i := range 12 {
		_, said, err := f.build("often", f.source(map[string]string{
			"Dockerfile": "FROM " + appImage + "\nUSER root\nRUN echo slow > /slow\nCOPY x /x\n", "x": strconv.Itoa(i),
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && strings.Count(said, "(cached)") != 2 {
			t.Errorf("build %d did not use the cache", i)
		}
		sizes = append(sizes, stored())
	}
	if last := sizes[len(sizes)-1]; last > sizes[7] {
		t.Errorf("layers in the store after each build: %v", sizes)
	}
}

// TestDockerfileNewBase rebuilds when the image that a name stands for changed.
func TestDockerfileNewBase(t *testing.T) {
	f := newFixture(t, buildahImage, appImage)
	name := "localhost/" + run + "/base:1"
	f.options.Bases = append(f.options.Bases, name)
	f.open()
	t.Cleanup(func() { _ = f.engine.UntagImage(context.Background(), name) })
	for _, version := range []string{"old\n", "new\n"} {
		base := f.mustBuild("base", f.source(map[string]string{
			"Dockerfile": "FROM " + appImage + "\nUSER root\nCOPY version /version\n", "version": version,
		}), nil)
		if err := f.engine.TagImage(t.Context(), base.Image.ID, name); err != nil {
			t.Fatal(err)
		}
		result := f.mustBuild("upon", f.source(map[string]string{"Dockerfile": "FROM " + name + "\nCMD [\"cat\", \"/version\"]\n"}), nil)
		if got := f.output(result.Image.ID, nil); got != version {
			t.Errorf("upon the %s base the app says %q", strings.TrimSpace(version), got)
		}
	}
}

// TestDockerfileArguments hands over what is configured and asked for, and keeps
// an app's config vars out of its image.
func TestDockerfileArguments(t *testing.T) {
	f := newFixture(t, buildahImage, appImage)
	f.options.Env = map[string]string{"MIRROR": "https://mirror.example/", "OTHER": "hidden"}
	f.open()
	_, said, err := f.build("args", f.source(map[string]string{
		"Dockerfile": "FROM " + appImage + "\nARG MIRROR\nARG MINE=default\nRUN echo \"$MIRROR $MINE ($OTHER$DATABASE_URL)\"; env\n",
	}), map[string]string{"DATABASE_URL": "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said, "       https://mirror.example/ default ()\n") || strings.Contains(said, "secret") || strings.Contains(said, "hidden") {
		t.Error("the arguments are not as they should be")
	}
}

// replace has the engine take images for others, as [images] in towline.toml does.
func (f *fixture) replace(images map[string]string) {
	f.t.Helper()
	e, err := podman.New(f.t.Context(), podman.Options{Address: "unix://" + socket, Name: run, Images: images})
	if err != nil {
		f.t.Fatal(err)
	}
	f.engine, f.options.Engine = e, e
	f.open()
}

// TestDockerfileReplaced: the pusher reads what an image really is, whichever way a Dockerfile
// names it.
func TestDockerfileReplaced(t *testing.T) {
	f := newFixture(t, buildahImage, appImage)
	f.options.Dir = t.TempDir() // the names are new in it
	f.options.Bases = []string{"docker.io/library/*", "docker.io/towline-test/gone"}
	f.replace(map[string]string{
		"docker.io/library/shell": appImage, "tools:2": appImage,
		"towline-test/gone:1": "localhost/towline-test/gone:1", "registry.example.test/base:1": appImage,
	})
	image, err := f.engine.Image(t.Context(), appImage)
	if err != nil {
		t.Fatal(err)
	}
	is := " is " + appImage + " here (" + image.ID[:12] + "), by [images] in towline.toml\n"
	for _, change := range []string{"", "x"} { // with a cache too
		result, said, err := f.build("replaced", f.source(map[string]string{
			"change":     change,
			"Dockerfile": "ARG TAG=2\nFROM shell AS one\nRUN echo built > /file\nFROM docker.io/library/tools:$TAG\nCOPY --from=one /file /file\nCOPY --from=shell:latest /bin /other\nCMD [\"cat\", \"/file\"]\n",
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"shell", "docker.io/library/tools:2", "shell:latest"} {
			if n := strings.Count(said, "       "+name+is); n != 1 {
				t.Errorf("%d times it is said what %s is", n, name)
			}
		}
		if got := f.output(result.Image.ID, nil); got != "built\n" {
			t.Errorf("the image says %q", got)
		}
	}
	// One that is not there is not taken from elsewhere.
	_, _, err = f.build("replaced", f.source(map[string]string{"Dockerfile": "FROM towline-test/gone:1\n"}), nil)
	if e := failure(t, err); e.Message != "localhost/towline-test/gone:1 is in the place of docker.io/towline-test/gone:1 by [images] in towline.toml, and is not on this machine" {
		t.Errorf("%q", e.Message)
	}
	// What a build may not have from here, it does not get by another name.
	_, said, err := f.build("replaced", f.source(map[string]string{"Dockerfile": "FROM registry.example.test/base:1\n"}), nil)
	if want := " !     registry.example.test/base:1 is taken as it is named, and not as [images] in towline.toml has it"; err == nil || !strings.Contains(said, want) {
		t.Errorf("%v: %s", err, said)
	}
}

// TestUnchangedSourceIsNotBuiltAgain: nor is it built by another way, but by a cache that is gone.
func TestUnchangedSourceIsNotBuiltAgain(t *testing.T) {
	f := newFixture(t, buildahImage, appImage)
	const again = "Using the image of an earlier build"
	files := map[string]string{"Dockerfile": "FROM " + appImage + "\nEXPOSE 7000\nCOPY a /a\n", "a": "one"}
	first := f.mustBuild("same", f.source(files), nil)
	second, said, err := f.build("same", f.source(files), map[string]string{"NEW": "1"}) // which no build by Dockerfile gets
	if err != nil || !strings.Contains(said, again) {
		t.Errorf("built, error %v", err)
	}
	if second.Image.ID != first.Image.ID || second.Kind != first.Kind || second.Processes["web"] != first.Processes["web"] || !slices.Equal(second.Exposed, []int{7000}) {
		t.Errorf("%+v after %+v", second, first)
	}
	if err := f.RemoveCaches(t.Context(), "same"); err != nil {
		t.Fatal(err)
	}
	if _, said, err = f.build("same", f.source(files), nil); err != nil || strings.Contains(said, again) {
		t.Errorf("not built after the caches were removed, error %v", err)
	}
}
