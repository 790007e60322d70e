package podman_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/podman"
)

// The suite runs on the machine's own Podman. Everything that it makes is named
// after the run.
const socket = "/run/podman/podman.sock"

var (
	run       = "tlt" + strings.ToLower(rand.Text()[:6])
	testImage = "localhost/towline-test/probe:" + run
)

func TestMain(m *testing.M) {
	code := m.Run()
	if e, err := podman.New(context.Background(), podman.Options{Address: "unix://" + socket, Name: run}); err == nil {
		sweep(e)
	}
	os.Exit(code)
}

// sweep removes whatever a failed test left.
func sweep(e *podman.Engine) {
	ctx := context.Background()
	containers, _ := e.ContainerList(ctx, nil)
	for _, c := range containers {
		_ = e.RemoveContainer(ctx, c.Name)
	}
	networks, _ := e.Networks(ctx)
	for _, n := range networks {
		_ = e.RemoveNetwork(ctx, n.Name)
	}
	volumes, _ := e.Volumes(ctx)
	for _, v := range volumes {
		_ = e.RemoveVolume(ctx, v.Name)
	}
	_ = e.UntagImage(ctx, testImage)
	rules := exec.Command("nft", "-f", "-")
	rules.Stdin = strings.NewReader(strings.ReplaceAll(`
add table bridge towline
add chain bridge towline NAME
delete chain bridge towline NAME
add set bridge towline NAME { type ether_addr; }
delete set bridge towline NAME
`, "NAME", "answers-"+run))
	_ = rules.Run()
}

// newEngine skips where there is no Podman, unless TOWLINE_REQUIRE_PODMAN says
// that there must be.
func newEngine(t *testing.T) *podman.Engine {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		if os.Getenv("TOWLINE_REQUIRE_PODMAN") == "" {
			t.Skipf("needs Podman's API at %s: %v", socket, err)
		}
		t.Fatal(err)
	}
	conn.Close()
	e, err := podman.New(t.Context(), podman.Options{
		Address: "unix://" + socket,
		Name:    run,
		Images:  map[string]string{"example.test/rewritten:1": testImage, "docker.io/towline-test/short": testImage, "example.test/untagged:latest": testImage},
	})
	if err != nil {
		t.Fatal(err)
	}
	loadOnce.Do(func() { loadErr = loadTestImage(e) })
	if loadErr != nil {
		t.Fatal(loadErr)
	}
	return e
}

var (
	loadOnce sync.Once
	loadErr  error
)

func loadTestImage(e *podman.Engine) error {
	probe, err := buildProbe()
	if err != nil {
		return err
	}
	_, err = e.LoadImage(context.Background(), bytes.NewReader(dockerArchive(testImage, probe)))
	return err
}

func buildProbe() ([]byte, error) {
	dir, err := os.MkdirTemp("", run)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "probe")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(path)
}

// probeOnHost is the image's program, to be run outside of containers.
func probeOnHost(t *testing.T) string {
	t.Helper()
	program, err := buildProbe()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "probe")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// dockerArchive is what docker save would write of an image that holds probe.
func dockerArchive(ref string, probe []byte) []byte {
	layer := archive(map[string][]byte{"probe": probe, "etc/passwd": []byte("root:x:0:0::/:/probe\napp:x:1000:1000::/:/probe\n"), "tmp/.keep": nil})
	sum := sha256.Sum256(layer)
	config, _ := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{
			"Entrypoint": []string{"/probe"}, "Cmd": []string{"out", "hello"}, "User": "app", "WorkingDir": "/tmp",
			"Env": []string{"PATH=/", "COLOUR=red=blue"}, "Labels": map[string]string{"made.by": "test"}, "ExposedPorts": map[string]any{"8080/tcp": map[string]any{}, "53/udp": map[string]any{}, "80/tcp": map[string]any{}},
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	manifest, _ := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{ref}, "Layers": []string{"layer.tar"}}})
	return archive(map[string][]byte{"config.json": config, "layer.tar": layer, "manifest.json": manifest})
}

func archive(files map[string][]byte) []byte {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for name, content := range files {
		_ = w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))})
		_, _ = w.Write(content)
	}
	_ = w.Close()
	return buffer.Bytes()
}

// name makes a name that the test's end removes.
func name(t *testing.T, e *podman.Engine) string {
	t.Helper()
	n := run + "-" + strings.ToLower(rand.Text()[:8])
	t.Cleanup(func() {
		if err := e.RemoveContainer(context.Background(), n); err != nil {
			t.Error(err)
		}
	})
	return n
}

// create makes a container that runs the probe's verbs.
func create(t *testing.T, e *podman.Engine, spec daemon.ContainerSpec, verbs ...string) string {
	t.Helper()
	spec.Name = name(t, e)
	if spec.Image == "" {
		spec.Image = testImage
	}
	spec.Command = verbs
	if err := e.CreateContainer(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return spec.Name
}

// output runs a created container to its end.
func output(t *testing.T, e *podman.Engine, container string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	code, err := e.RunAttached(ctx, container, daemon.Streams{Stdout: &out, Stderr: &errs})
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), code
}

func newNetwork(t *testing.T, e *podman.Engine) string {
	t.Helper()
	n := run + "-" + strings.ToLower(rand.Text()[:8])
	if err := e.EnsureNetwork(t.Context(), n, map[string]string{"towline.app": n}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.RemoveNetwork(context.Background(), n); err != nil {
			t.Error(err)
		}
	})
	return n
}
