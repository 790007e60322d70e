package build_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

func TestDockerfileFailures(t *testing.T) {
	f := newFixture(t, buildahImage, appImage, runImage)
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string // in the message
	}{
		{"a command fails", map[string]string{"Dockerfile": "FROM " + runImage + "\nRUN echo no such luck >&2; exit 3\n"}, "no such luck"},
		{"a file is missing", map[string]string{"Dockerfile": "FROM " + runImage + "\nCOPY nothing /x\n"}, "nothing"},
		{"unknown instruction", map[string]string{"Dockerfile": "FROM " + runImage + "\nFETCH x\n"}, "FETCH"},
		{"no such base", map[string]string{"Dockerfile": "FROM localhost/towline/none:1\n"}, "localhost/towline/none:1 is not on this machine"},
		{"a file for a base", map[string]string{"Dockerfile": "FROM oci-archive:x.tar\n", "x.tar": "x"}, "is not the name of an image"},
		{"a directory to copy from", map[string]string{"Dockerfile": "FROM " + runImage + "\nCOPY --from=dir:/var/lib/containers / /x\n"}, "is not the name of an image"},
		{"empty", map[string]string{"Dockerfile": "# nothing\n"}, "build failed"},
		{"a directory", map[string]string{"Dockerfile/x": ""}, "Dockerfile is not a file"},
		{"a link to the host", map[string]string{"Dockerfile": "-> /etc/passwd"}, "Dockerfile is not a file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := f.build("broken", f.source(test.files), nil)
			if e := failure(t, err); !strings.Contains(e.Message, test.want) {
				t.Errorf("error %q, want one with %q", e.Message, test.want)
			}
		})
	}
	// Having failed, the app builds all the same.
	f.mustBuild("broken", f.source(map[string]string{"Dockerfile": "FROM " + appImage + "\n"}), nil)
}

// TestBuildBounds: what a build may have open, and how large a file it writes; and that one
// waits for another where no more may run.
func TestBuildBounds(t *testing.T) {
	f := newFixture(t, buildahImage, appImage)
	f.options.AtOnce, f.options.Disk = 1, 1<<30 // the layers of the base image are below it
	f.open()
	_, said, err := f.build("bounds", f.source(map[string]string{"Dockerfile": "FROM " + appImage + "\nRUN echo open $(ulimit -Hn), file $(ulimit -Hf)\nRUN truncate -s 1100M /tmp/large\n"}), nil)
	// buildah gives a step fewer open files than its own container may have.
	if err == nil || !strings.Contains(said, ", file 2097152") || strings.Contains(said, "open unlimited") {
		t.Errorf("%v: %s", err, said)
	}
	both := make(chan string, 2)
	for _, app := range []string{"first", "second"} {
		req := f.request(app, f.source(map[string]string{"Dockerfile": "FROM " + appImage + "\nRUN echo " + app + "; sleep 5\nCMD true\n"}), nil)
		go func() {
			var said bytes.Buffer
			if _, err := f.Build(t.Context(), req, &said); err != nil {
				t.Error(err)
			}
			both <- said.String()
		}()
	}
	waits := 0
	for range cap(both) {
		if strings.Contains(<-both, "Waiting for one of 1 builds that run: at_once under [build] in towline.toml allows 1") {
			waits++
		}
	}
	if waits != 1 {
		t.Errorf("of two builds of which one may run at once, %d have waited", waits)
	}
}

func TestBuildpackFailures(t *testing.T) {
	f := newFixture(t, builderImage, lifecycleImage, runImage)
	_, _, err := f.build("broken", f.source(map[string]string{"README": "hello"}), nil)
	e := failure(t, err)
	for _, file := range []string{"Dockerfile", "Gemfile", "package.json"} {
		if !strings.Contains(e.Hint, file) {
			t.Errorf("hint %q does not name %s", e.Hint, file)
		}
	}
	_, _, err = f.build("broken", f.source(map[string]string{"package.json": "{"}), map[string]string{"A/B": "x"})
	failure2 := new(daemon.Error)
	if !errors.As(err, &failure2) || failure2.Kind != daemon.Invalid {
		t.Errorf("a config var that is no file name: %v", err)
	}
	_, _, err = f.build("broken", f.source(map[string]string{"package.json": "{ this is no JSON"}), nil)
	if e := failure(t, err); !strings.Contains(e.Message, "build failed") {
		t.Errorf("error %q", e.Message)
	}
}

// TestCancel ends builds in the middle, by their context and by their time limit.
func TestCancel(t *testing.T) {
	f := newFixture(t, buildahImage, appImage)
	source := func() string {
		return f.source(map[string]string{"Dockerfile": "FROM " + appImage + "\nRUN echo going; sleep 1000\n"})
	}
	// Have the base image unpacked, so that the limits below are spent in the step.
	f.mustBuild("slow", f.source(map[string]string{"Dockerfile": "FROM " + appImage + "\nRUN true\n"}), nil)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req := f.request("slow", source(), nil)
	out := &watched{text: "going", seen: cancel}
	began := time.Now()
	_, err := f.Build(ctx, req, out)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled build: %v", err)
	}
	f.nothingLeft(req.ID)
	t.Logf("cancelled after %s", time.Since(began))

	f.options.Timeout = 3 * time.Second
	f.open()
	_, _, err = f.build("slow", source(), nil)
	if e := failure(t, err); !strings.Contains(e.Message, "took longer than 3s") {
		t.Errorf("error %q", e.Message)
	}
	// A build that was killed leaves the app's cache usable.
	f.options.Timeout = time.Minute
	f.open()
	f.mustBuild("slow", f.source(map[string]string{"Dockerfile": "FROM " + appImage + "\nRUN true\n"}), nil)
}

// watched calls seen once it was told text.
type watched struct {
	all  bytes.Buffer
	text string
	seen func()
}

func (w *watched) Write(p []byte) (int, error) {
	w.all.Write(p)
	if bytes.Contains(w.all.Bytes(), []byte("       "+w.text+"\n")) {
		w.seen()
	}
	return len(p), nil
}

// TestClean finds what a daemon that was killed in a build has left.
func TestClean(t *testing.T) {
	f := newFixture(t, buildahImage, appImage)
	f.options.Dir = t.TempDir() // to see that it gets empty
	f.open()
	ctx, cancel := context.WithCancel(t.Context())
	req := f.request("killed", f.source(map[string]string{"Dockerfile": "FROM " + appImage + "\nRUN echo going; sleep 1000\n"}), nil)
	started := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		_, err := f.Build(ctx, req, &watched{text: "going", seen: func() { close(started) }})
		ended <- err
	}()
	<-started
	if err := f.Clean(t.Context(), req.ID); err != nil {
		t.Error(err)
	}
	f.nothingLeft(req.ID)
	if err := <-ended; err == nil {
		t.Error("a build whose container was removed succeeded")
	}
	cancel()
	if err := f.Clean(t.Context(), req.ID); err != nil {
		t.Errorf("cleaning once more: %v", err)
	}
	for _, id := range []string{"", "..", "a/b", "../work"} {
		if err := f.Clean(t.Context(), id); err == nil {
			t.Errorf("cleaned build %q", id)
		}
	}
	if err := f.RemoveCaches(t.Context(), "killed"); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{"apps", "bases"} {
		if entries, err := os.ReadDir(filepath.Join(f.options.Dir, dir)); err != nil || len(entries) > 0 {
			t.Errorf("caches left: %v, error %v", entries, err)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	f := newFixture(t, buildahImage, appImage)
	f.options.Memory = 200 << 20
	f.open()
	_, _, err := f.build("greedy", f.source(map[string]string{
		"Dockerfile": "FROM " + appImage + "\nRUN awk 'BEGIN { s = \"x\"; while (1) s = s s }'\n",
	}), nil)
	if e := failure(t, err); !strings.Contains(e.Message, "memory") {
		t.Errorf("error %q", e.Message)
	}
}
