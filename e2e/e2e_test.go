// Package e2e shows what Towline promises on real parts: sshd, git, Podman, Neo4j and
// Redis. testdata/*.txtar are stories, one for each command family, that read as the
// manual; the other tests are about what must never happen.
package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"towline/e2e/stack"
)

// testImage is what the tests deploy, from packaging/images/testapp.
const testImage = "localhost/towline/testapp:1"

// keyExchange saves a third of what a command over SSH costs; none of the tests is about it.
const keyExchange = "curve25519-sha256"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if err := ready(); err != nil {
		fmt.Printf("e2e: skipped: %v; make e2e sets this machine up\n", err)
		if os.Getenv("TOWLINE_REQUIRE_PODMAN") != "" {
			return 1
		}
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := stack.Build(ctx); err != nil {
		fmt.Println(err)
		return 1
	}
	for name, value := range pebbleEnv {
		os.Setenv(name, value)
	}
	defer closeShared()
	defer context.AfterFunc(ctx, func() { closeShared(); os.Exit(130) })()
	return m.Run()
}

// ready tells what this machine lacks.
func ready() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("this needs root")
	}
	for _, program := range []string{"podman", "git", "ssh", "/usr/sbin/sshd", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	_, err := stack.Podman("image", "exists", testImage)
	return err
}

var shared struct {
	once sync.Once
	s    *stack.Stack
	err  error
}

// sharedStack is the one that all tests use which do not harm it.
func sharedStack(t *testing.T) *stack.Stack {
	t.Helper()
	shared.once.Do(func() {
		shared.s, shared.err = stack.Start(context.Background(), stack.Options{KeyExchange: keyExchange})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.s
}

func closeShared() {
	shared.once.Do(func() {})
	if shared.s == nil {
		return
	}
	if keep := os.Getenv("TOWLINE_KEEP_LOG"); keep != "" {
		_ = os.WriteFile(keep, []byte(shared.s.DaemonLog()), 0o644)
	}
	if err := shared.s.Close(); err != nil {
		fmt.Println("e2e: clean up:", err)
	}
}

// ownStack is one that the test may kill.
func ownStack(t *testing.T, o stack.Options) *stack.Stack {
	t.Helper()
	if o.Faults {
		if err := stack.BuildFaults(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	o.KeyExchange = keyExchange
	s, err := stack.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("towlined:\n%s", lastLines(s.DaemonLog(), 60))
		}
		if err := s.Close(); err != nil {
			t.Error("clean up:", err)
		}
	})
	return s
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// admin runs a command over SSH as the administrator, which must succeed.
func admin(t *testing.T, s *stack.Stack, line string) string {
	t.Helper()
	r := s.SSH(t.Context(), stack.Admin, nil, line)
	if r.Code != 0 {
		t.Fatalf("%s: %s", line, r)
	}
	return r.Stdout
}

// checkout is a git repository whose pushes are an app's deploys.
type checkout struct {
	t      *testing.T
	s      *stack.Stack
	app    string
	dir    string
	member string
}

// usual is the source of an app that builds in a second: page / tells its version.
func usual(version string) map[string]string {
	return map[string]string{
		"Dockerfile": "FROM " + testImage + "\nCOPY VERSION .\n",
		"Procfile":   "web: testapp\nworker: testapp worker\n",
		"VERSION":    version + "\n",
	}
}

// newApp creates an app and a checkout of it.
func newApp(t *testing.T, s *stack.Stack, app string) *checkout {
	t.Helper()
	admin(t, s, "apps:create "+app)
	return newCheckout(t, s, app, stack.Admin)
}

func newCheckout(t *testing.T, s *stack.Stack, app, member string) *checkout {
	t.Helper()
	c := &checkout{t, s, app, t.TempDir(), member}
	c.git("init", "-q", "-b", "main")
	c.git("remote", "add", "towline", s.Remote(app))
	return c
}

func (c *checkout) git(args ...string) {
	c.t.Helper()
	if r := c.s.Git(c.t.Context(), c.member, c.dir, args...); r.Code != 0 {
		c.t.Fatalf("git %s: %s", strings.Join(args, " "), r)
	}
}

// commit replaces files; an empty text removes one.
func (c *checkout) commit(files map[string]string) {
	c.t.Helper()
	for name, text := range files {
		path := filepath.Join(c.dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil && text == "" {
			err = os.RemoveAll(path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	c.git("add", "-A")
	c.git("commit", "-q", "--allow-empty", "-m", "change")
}

// push tries to deploy. Both outputs of git are in Stderr.
func (c *checkout) push(refs ...string) stack.Result {
	if len(refs) == 0 {
		refs = []string{"+HEAD:refs/heads/main"}
	}
	return c.s.Git(c.t.Context(), c.member, c.dir, append([]string{"push", "towline"}, refs...)...)
}

// deploy commits and pushes what must become the release.
func (c *checkout) deploy(files map[string]string) {
	c.t.Helper()
	c.commit(files)
	if r := c.push(); r.Code != 0 {
		c.t.Fatalf("push: %s", r)
	}
}

// version is what an app's page says of itself; empty, with the reason, if it does not.
func version(t *testing.T, s *stack.Stack, app string) (v, reason string) {
	t.Helper()
	status, body, err := s.Get(t.Context(), app, "/")
	if err != nil {
		return "", err.Error()
	}
	v, _, _ = strings.Cut(strings.TrimPrefix(body, "version="), "\n")
	if status != http.StatusOK {
		return "", fmt.Sprintf("status %d: %s", status, body)
	}
	return v, ""
}

// eventually polls until f returns no reason to wait.
func eventually(t *testing.T, f func() (reason string)) {
	t.Helper()
	within(t, time.Minute, f)
}

func within(t *testing.T, limit time.Duration, f func() (reason string)) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		reason := f()
		if reason == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(reason)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
