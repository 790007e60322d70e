package plugins_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/plugins"
)

// standIns are images of the same interface, built from packages, for machines that
// reach no registry.
var standIns = map[string]string{
	"docker.io/library/neo4j:5-community": "localhost/towline/neo4j:5.26-community",
	"docker.io/library/redis:7":           "localhost/towline/redis:7",
	"docker.io/library/postgres:15":       "localhost/towline/postgres:15",
}

// service is a manifest's spec in a container, by plain Podman: what the daemon owes a
// manifest, and no more.
type service struct {
	t       *testing.T
	m       *plugins.Manifest
	i       plugins.Instance
	spec    plugins.Spec
	image   string
	name    string // of the container and the network, and the prefix of the volumes
	filesIn string
	watch   *watch
}

// podman returns what it wrote to its standard output. env reaches the program, for
// options like "--env NAME".
func podman(ctx context.Context, env map[string]string, stdin io.Reader, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "podman", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	cmd.Env = os.Environ()
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("podman %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), err
}

func envFlags(env map[string]string) (flags []string) {
	for name := range env {
		flags = append(flags, "--env", name)
	}
	return flags
}

// newService makes a service whose secrets w looks for, or a watch of its own if w is
// nil. It skips where Podman or the image is absent, unless TOWLINE_REQUIRE_PODMAN
// says that they must be there.
func newService(t *testing.T, name, version string, w *watch) *service {
	t.Helper()
	if testing.Short() {
		t.Skip("needs real containers")
	}
	absent := t.Skipf
	if os.Getenv("TOWLINE_REQUIRE_PODMAN") != "" {
		absent = t.Fatalf
	}
	if _, err := exec.LookPath("podman"); err != nil {
		absent("no podman here")
	}
	catalog, err := plugins.Load("../addons")
	if err != nil {
		t.Fatal(err)
	}
	m, _ := catalog.Service(name)
	s := &service{t: t, m: m, watch: w, name: "tlplug" + strings.ToLower(rand.Text()[:8]), filesIn: t.TempDir()}
	s.i = plugins.Instance{Name: name, Host: name, Version: version, Plan: m.DefaultPlan, Secrets: m.NewSecrets()}
	s.render()
	for _, s.image = range []string{s.spec.Image, standIns[s.spec.Image]} {
		if _, err = podman(t.Context(), nil, nil, "image", "exists", s.image); err == nil {
			break
		}
	}
	if err != nil {
		absent("neither %s nor a stand-in for it is here", s.spec.Image)
	}
	t.Cleanup(s.remove)
	if w == nil {
		s.watch = watchCommandLines(t)
	}
	s.watch.add(m, s.i.Secrets)
	if _, err := podman(t.Context(), nil, nil, "network", "create", s.name); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *service) render() {
	s.t.Helper()
	var err error
	if s.spec, err = s.m.Render(s.i); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := podman(ctx, nil, nil, "rm", "--force", "--volumes", "--ignore", "--time", "0", s.name)
	for _, v := range s.spec.Volumes {
		if _, there := podman(ctx, nil, nil, "volume", "exists", s.name+"-"+v.Name); there == nil {
			_, verr := podman(ctx, nil, nil, "volume", "rm", s.name+"-"+v.Name)
			err = errors.Join(err, verr)
		}
	}
	_, nerr := podman(ctx, nil, nil, "network", "rm", s.name)
	if err = errors.Join(err, nerr); err != nil {
		s.t.Error(err)
	}
}

// flags are what the service and its stopped transfers have in common.
func (s *service) flags(env map[string]string) []string {
	s.t.Helper()
	flags := []string{"--init", "--network", s.name, "--memory", fmt.Sprint(s.spec.Memory)}
	for _, v := range s.spec.Volumes {
		flags = append(flags, "--volume", s.name+"-"+v.Name+":"+v.Path)
	}
	for n, f := range s.spec.Files {
		path := filepath.Join(s.filesIn, fmt.Sprint(n))
		if err := os.WriteFile(path, []byte(f.Content), 0o600); err != nil {
			s.t.Fatal(err)
		}
		if err := errors.Join(os.Chmod(path, f.Mode), os.Chown(path, f.UID, f.GID)); err != nil {
			s.t.Fatal(err)
		}
		flags = append(flags, "--volume", path+":"+f.Path+":ro")
	}
	if s.spec.User != "" {
		flags = append(flags, "--user", s.spec.User)
	}
	return append(flags, envFlags(env)...)
}

// start runs the service, or starts it again, and waits for its probe.
func (s *service) start() {
	s.t.Helper()
	begun := time.Now()
	args := append([]string{"run", "--detach", "--name", s.name}, s.flags(s.spec.Env)...)
	if len(s.spec.Entrypoint) > 0 {
		s.t.Fatal("a manifest of ours has an entry point: teach this test about it")
	}
	if _, err := podman(s.t.Context(), nil, nil, "container", "exists", s.name); err == nil {
		args = []string{"start", s.name}
	} else {
		args = append(append(args, s.image), s.spec.Command...)
	}
	if _, err := podman(s.t.Context(), s.spec.Env, nil, args...); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), s.spec.Probe.Deadline)
	defer cancel()
	for {
		_, err := s.try(ctx, s.spec.Probe.Action, nil)
		if err == nil {
			break
		}
		select {
		case <-time.After(s.spec.Probe.Interval):
		case <-ctx.Done():
			log, _ := exec.Command("podman", "logs", "--tail", "20", s.name).CombinedOutput()
			s.t.Fatalf("the probe never succeeded: %v\n%s", err, log)
		}
	}
	s.t.Logf("ready after %s", time.Since(begun).Round(time.Millisecond))
}

func (s *service) stop() {
	s.t.Helper()
	if _, err := podman(s.t.Context(), nil, nil, "stop", "--time", "60", s.name); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) try(ctx context.Context, a plugins.Action, stdin io.Reader) (string, error) {
	args := append([]string{"exec", "--interactive"}, envFlags(a.Env)...)
	return podman(ctx, a.Env, stdin, append(append(args, s.name), a.Command...)...)
}

func (s *service) run(a plugins.Action) string {
	s.t.Helper()
	if len(a.Command) == 0 {
		s.t.Fatal("the manifest has no such action")
	}
	out, err := s.try(s.t.Context(), a, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// transfer runs an export or an import where it belongs, and has the service run again
// afterwards.
func (s *service) transfer(t plugins.Transfer, stdin string) string {
	s.t.Helper()
	var out string
	var err error
	if t.Stopped {
		s.stop()
		env := maps.Clone(s.spec.Env)
		maps.Copy(env, t.Env)
		args := append([]string{"run", "--rm", "--interactive", "--name", s.name + "-transfer", "--entrypoint", t.Command[0]}, s.flags(env)...)
		out, err = podman(s.t.Context(), env, strings.NewReader(stdin), append(append(args, s.image), t.Command[1:]...)...)
		s.start()
	} else {
		out, err = s.try(s.t.Context(), t.Action, strings.NewReader(stdin))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// rotate gives the service other secrets and runs between, when both should do.
func (s *service) rotate(between func(old, now plugins.Instance)) {
	s.t.Helper()
	old := s.i
	s.i.Next = s.m.Rotated(old.Secrets)
	s.watch.add(s.m, s.i.Next)
	s.render()
	rotate, retire := s.spec.Rotate, s.spec.Retire
	s.run(rotate)
	s.i = plugins.Instance{Name: old.Name, Host: old.Host, Version: old.Version, Plan: old.Plan, Secrets: s.i.Next}
	s.render()
	s.flags(nil) // the files, for the next start
	between(old, s.i)
	if len(retire.Command) > 0 {
		s.run(retire)
	}
}

// address is the container's, which may change when it starts.
func (s *service) address() string {
	s.t.Helper()
	out, err := podman(s.t.Context(), nil, nil, "inspect", s.name, "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// vars are the config vars of an instance, with the address in place of the name.
func (s *service) vars(i plugins.Instance) map[string]string {
	s.t.Helper()
	i.Host = s.address()
	spec, err := s.m.Render(i)
	if err != nil {
		s.t.Fatal(err)
	}
	vars := map[string]string{}
	for _, v := range spec.Vars("") {
		vars[v.Name] = v.Value
	}
	return vars
}
