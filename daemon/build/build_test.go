package build_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/build"
	"towline/daemon/podman"
)

// These tests run real builds on the machine's own Podman. Everything that they
// make there is named after the run.
const (
	socket         = "/run/podman/podman.sock"
	runImage       = "localhost/towline/run:12"
	builderImage   = "localhost/towline/builder:12"
	lifecycleImage = "localhost/towline/lifecycle:0.20.11"
	buildahImage   = "localhost/towline/buildah:12"
	appImage       = "localhost/towline/testapp:1"
)

var run = "tlb" + strings.ToLower(rand.Text()[:6])

// stateDir is shared by the tests, as unpacking base images takes a while.
var stateDir string

func TestMain(m *testing.M) {
	var err error
	if stateDir, err = os.MkdirTemp("", run); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(stateDir)
	if e, err := podman.New(context.Background(), podman.Options{Address: "unix://" + socket, Name: run}); err == nil {
		ctx := context.Background()
		containers, _ := e.ContainerList(ctx, nil)
		for _, c := range containers {
			_ = e.RemoveContainer(ctx, c.Name)
		}
		networks, _ := e.Networks(ctx)
		for _, n := range networks {
			_ = e.RemoveNetwork(ctx, n.Name)
		}
	}
	os.Exit(code)
}

// fixture is a builder with directories of its own, on the real engine.
type fixture struct {
	*build.Builder
	t       *testing.T
	engine  *podman.Engine
	dir     string
	options build.Options
}

// newFixture skips where Podman or an image is missing, unless
// TOWLINE_REQUIRE_PODMAN says that they must be there. Under the race detector it
// skips what unpacks large images, which takes that minutes, and where TOWLINE_RACED
// says that the rest ran under it, the rest.
func newFixture(t *testing.T, images ...string) *fixture {
	t.Helper()
	large := slices.Contains(images, runImage) || slices.Contains(images, builderImage)
	if raceDetector && large {
		t.Skip("make builds runs this")
	}
	if os.Getenv("TOWLINE_RACED") != "" && !large {
		t.Skip("make race runs this")
	}
	lacking := t.Skipf
	if os.Getenv("TOWLINE_REQUIRE_PODMAN") != "" {
		lacking = t.Fatalf
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		lacking("needs Podman's API at %s: %v", socket, err)
	}
	conn.Close()
	e, err := podman.New(t.Context(), podman.Options{Address: "unix://" + socket, Name: run})
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range images {
		if _, err := e.Image(t.Context(), image); err != nil {
			lacking("needs image %s, which packaging/images/build.sh makes: %v", image, err)
		}
	}
	dir := stateDir
	f := &fixture{t: t, engine: e, dir: dir, options: build.Options{
		Engine: e, Name: run, Dir: filepath.Join(dir, "state"),
		Builder: builderImage, Lifecycle: lifecycleImage, Dockerfile: buildahImage,
		Memory: 2 << 30, Timeout: 5 * time.Minute,
		Env:   map[string]string{},
		Bases: []string{runImage, appImage, "localhost/towline/none"},
	}}
	f.open()
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	b, err := build.New(f.options)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Builder = b
	f.t.Cleanup(func() { b.Close() })
}

// source writes files into a new directory. A value that begins with "-> " makes a
// link.
func (f *fixture) source(files map[string]string) string {
	f.t.Helper()
	dir, err := os.MkdirTemp(f.t.TempDir(), "src")
	if err != nil {
		f.t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			f.t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			mode := os.FileMode(0o644)
			if strings.HasPrefix(text, "#!") {
				mode = 0o755
			}
			err = os.WriteFile(path, []byte(text), mode)
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
	return dir
}

func (f *fixture) request(app, source string, env map[string]string) daemon.BuildRequest {
	id := app + "-" + strings.ToLower(rand.Text()[:8])
	image := "localhost/" + run + "/" + id + ":1"
	f.t.Cleanup(func() {
		if err := f.engine.UntagImage(context.Background(), image); err != nil {
			f.t.Error(err)
		}
	})
	return daemon.BuildRequest{ID: id, App: app, Source: source, Image: image, Env: env}
}

// build builds and checks that nothing but caches is left of it.
func (f *fixture) build(app, source string, env map[string]string) (daemon.BuildResult, string, error) {
	f.t.Helper()
	req := f.request(app, source, env)
	var out bytes.Buffer
	began := time.Now()
	result, err := f.Build(f.t.Context(), req, &out)
	f.t.Logf("built %s in %.2f s, error %v, said:\n%s", app, time.Since(began).Seconds(), err, out.String())
	f.nothingLeft(req.ID)
	return result, out.String(), err
}

func (f *fixture) nothingLeft(id string) {
	f.t.Helper()
	containers, err := f.engine.ContainerList(context.Background(), map[string]string{"towline.build": id})
	if err != nil || len(containers) > 0 {
		f.t.Errorf("containers left of build %s: %v, error %v", id, containers, err)
	}
	if entries, err := os.ReadDir(filepath.Join(f.options.Dir, "work")); err != nil || len(entries) > 0 {
		f.t.Errorf("working files left: %v, error %v", entries, err)
	}
}

func (f *fixture) mustBuild(app, source string, env map[string]string) daemon.BuildResult {
	f.t.Helper()
	result, _, err := f.build(app, source, env)
	if err != nil {
		f.t.Fatal(err)
	}
	return result
}

// output runs a command in the image and returns what it said.
func (f *fixture) output(image string, entrypoint []string, command ...string) string {
	f.t.Helper()
	name := run + "-" + strings.ToLower(rand.Text()[:8])
	defer f.engine.RemoveContainer(context.Background(), name)
	spec := daemon.ContainerSpec{Name: name, Image: image, Entrypoint: entrypoint, Command: command}
	if err := f.engine.CreateContainer(f.t.Context(), spec); err != nil {
		f.t.Fatal(err)
	}
	var out bytes.Buffer
	exit, err := f.engine.RunAttached(f.t.Context(), name, daemon.Streams{Stdout: &out, Stderr: &out})
	if err != nil || exit != 0 {
		f.t.Fatalf("%q in %s: exit %d, error %v: %s", command, image, exit, err, out.String())
	}
	return out.String()
}

// failure checks that err is one for the user, with a hint, and returns its text.
func failure(t *testing.T, err error) *daemon.Error {
	t.Helper()
	var e *daemon.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is none for the user", err)
	}
	if e.Hint == "" {
		t.Errorf("error %q has no hint", e.Message)
	}
	return e
}

// command runs a program of the machine and returns its trimmed output.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}
