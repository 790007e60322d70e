package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/socket"
)

// TestMain lets the test binary be towline-shell, and the hook, for sshd and git.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "towline-shell", "pre-receive":
		main()
	}
	os.Exit(m.Run())
}

// host is a machine as users see it: a real sshd on a port of its own, real
// repositories, and a handler that records in place of the daemon.
type host struct {
	t    testing.TB
	dir  string
	user string
	port int

	mu     sync.Mutex
	calls  []call
	causes chan error // why a "wait" ended
	sizes  chan daemon.Size
	branch string        // that deploys; empty: main
	served string        // the commit that serves after a restart
	gate   chan struct{} // a "deploy" of branch slow waits for it
	done   chan struct{} // and then closes this
	waits  chan struct{} // closed when a push of branch wait has arrived
}

type call struct {
	socket.Request
	stdin []byte
}

func newHost(t testing.TB) *host {
	if _, err := os.Stat("/usr/sbin/sshd"); err != nil {
		t.Skip("no sshd")
	}
	dir, err := os.MkdirTemp("", "towline-sshd-")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	h := &host{t: t, dir: dir, causes: make(chan error, 1), sizes: make(chan daemon.Size, 16), gate: make(chan struct{}), waits: make(chan struct{}), done: make(chan struct{})}
	h.serve()
	h.install()
	h.sshd()
	return h
}

// serve starts the handler.
func (h *host) serve() {
	l, err := net.Listen("unix", h.dir+"/towlined.sock")
	check(h.t, err)
	check(h.t, os.Chmod(h.dir+"/towlined.sock", 0o666))
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- socket.Serve(ctx, l, func(uint32) bool { return true }, h.handle) }()
	h.t.Cleanup(func() { cancel(); <-served })
}

// install puts the program, the hook and a repository in place for the account.
func (h *host) install() {
	self, err := os.Executable()
	check(h.t, err)
	program, err := os.ReadFile(self)
	check(h.t, err)
	check(h.t, os.WriteFile(h.dir+"/towline-shell", program, 0o755))
	check(h.t, os.Mkdir(h.dir+"/hooks", 0o755))
	check(h.t, os.Symlink("../towline-shell", h.dir+"/hooks/pre-receive"))
	check(h.t, os.Mkdir(h.dir+"/git", 0o755))
	h.command("", "git", "init", "-q", "--bare", "-b", "main", h.dir+"/git/shop.git")

	me, err := user.Current()
	check(h.t, err)
	h.user = me.Username
	if _, err := user.Lookup("towline"); err == nil && me.Uid == "0" {
		h.user = "towline"
		h.command("", "chown", "-R", "towline", h.dir+"/git")
	}
}

// sshd starts the system's sshd with nothing of the system's configuration.
func (h *host) sshd() {
	for _, key := range []string{"host_key", "alice", "plain"} {
		h.command("", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", h.dir+"/"+key)
	}
	public, err := os.ReadFile(h.dir + "/alice.pub")
	check(h.t, err)
	line := fmt.Sprintf("restrict,pty,command=%q %s",
		fmt.Sprintf("exec %s/towline-shell --member alice --key "+testKey+" --socket %[1]s/towlined.sock --repositories %[1]s/git --hooks %[1]s/hooks --max-memory %[2]s", h.dir, testMemory), public)
	plain, err := os.ReadFile(h.dir + "/plain.pub") // of no member: what plain ssh costs
	check(h.t, err)
	check(h.t, os.WriteFile(h.dir+"/authorized_keys", []byte(line+string(plain)), 0o644))
	// Below those that the kernel gives to whoever wants any: it stays free meanwhile.
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
	for try := 0; err != nil && try < 100; try++ {
		l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
	}
	check(h.t, err)
	h.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	config := fmt.Sprintf(`Port %d
ListenAddress 127.0.0.1
HostKey %[2]s/host_key
PidFile none
AuthorizedKeysFile %[2]s/authorized_keys
StrictModes no
AllowUsers %[3]s
PermitRootLogin forced-commands-only
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
AcceptEnv GIT_PROTOCOL
PrintMotd no
PrintLastLog no
`, h.port, h.dir, h.user)
	check(h.t, os.WriteFile(h.dir+"/sshd_config", []byte(config), 0o644))
	if os.Getuid() == 0 {
		os.MkdirAll("/run/sshd", 0o755)
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", h.dir+"/sshd_config")
	var log bytes.Buffer
	cmd.Stderr = &log
	check(h.t, cmd.Start())
	h.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if h.t.Failed() {
			h.t.Logf("sshd: %s", log.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(h.port)); err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatal("sshd does not listen")
		}
	}
}

// handle stands in for the daemon's verbs.
// testKey is the fingerprint in the forced command.
const testKey = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"

func (h *host) handle(ctx context.Context, c *socket.Call) int {
	if c.Member != "" && c.Key != testKey {
		h.t.Errorf("%q is asked by the key %q", c.Args, c.Key)
	}
	rec := call{Request: c.Request}
	defer func() { h.mu.Lock(); h.calls = append(h.calls, rec); h.mu.Unlock() }()
	switch c.Args[0] {
	case "git:receive", "git:upload":
		if c.Args[1] != "shop" {
			fmt.Fprintf(c.Stderr, "error: there is no app %q\n", c.Args[1])
			return 3
		}
		fmt.Fprintln(c.Stdout, h.dir+"/git/shop.git")
	case "git:push":
		if c.Args[4] == "refs/heads/wait" { // for the app's lock, say
			close(h.waits)
			<-ctx.Done()
			h.causes <- context.Cause(ctx)
			return 1
		}
		return h.push(c, &rec)
	case "git:served":
		if h.told(&h.served) != c.Args[4] {
			fmt.Fprintln(c.Stderr, "error: the deploy was undone")
			return 1
		}
		fmt.Fprintln(c.Stdout, "-----> Released after all")
	case "echo":
		fmt.Fprintf(c.Stdout, "%q", c.Args[1:])
		fmt.Fprint(c.Stderr, "to stderr")
	case "cat":
		if _, err := io.Copy(c.Stdout, c.Stdin); err != nil {
			return 1
		}
	case "upload":
		buf := make([]byte, 4)
		_, err := io.ReadFull(c.Stdin, buf)
		if err == nil {
			fmt.Fprintln(c.Stdout, "coming")
			_, err = io.Copy(io.Discard, c.Stdin) // nil at the end
		}
		h.causes <- err
	case "exit":
		n, _ := strconv.Atoi(c.Args[1])
		return n
	case "wait":
		fmt.Fprintln(c.Stdout, "ready")
		<-ctx.Done()
		h.causes <- context.Cause(ctx)
		return 130
	case "version":
		fmt.Fprintln(c.Stdout, `{"version": "9.9"}`)
	case "open":
		fmt.Fprintf(c.Stdout, `{"url": %q}`, c.Args[1])
	case "screen":
		fmt.Fprint(c.Stdout, c.Width, " ", c.Colour)
	case "terminal":
		c.Raw()
		fmt.Fprintf(c.Stdout, "%v %s %dx%d\n", c.Terminal, c.Term, c.Rows, c.Cols)
		go func() {
			for {
				select {
				case s := <-c.Resize:
					h.sizes <- s
				case <-ctx.Done():
					return
				}
			}
		}()
		key := make([]byte, 1)
		for {
			if _, err := c.Stdin.Read(key); err != nil || key[0] == 'q' {
				return 42
			}
			fmt.Fprintf(c.Stdout, "key %d\n", key[0])
		}
	default:
		fmt.Fprintf(c.Stdout, "%s of %s for %s\n", strings.Join(c.Args, " "), c.App, c.Member)
	}
	return 0
}

// tell sets what the stand-in for the daemon goes by, and told reads it.
func (h *host) tell(what *string, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*what = value
}

func (h *host) told(what *string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return *what
}

func (h *host) push(c *socket.Call, rec *call) int {
	ref := c.Args[4]
	if ref != cmp.Or(h.told(&h.branch), "refs/heads/main") && ref != "refs/heads/slow" {
		fmt.Fprintf(c.Stderr, "error: %s does not deploy\n", ref)
		return 2
	}
	source, err := io.ReadAll(c.Stdin)
	if err != nil {
		return 1
	}
	rec.stdin = source
	fmt.Fprintln(c.Stdout, "-----> building")
	if ref == "refs/heads/slow" {
		<-h.gate
		for range 100 {
			fmt.Fprintln(c.Stdout, "on and on")
		}
		close(h.done)
	}
	if bytes.Contains(source, []byte("broken")) {
		fmt.Fprintln(c.Stderr, "error: the build failed")
		return 6
	}
	return 0
}

// last is the newest finished call of a verb.
func (h *host) last(verb string) (call, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.calls) - 1; i >= 0; i-- {
		if h.calls[i].Args[0] == verb {
			return h.calls[i], true
		}
	}
	return call{}, false
}

// sshArgs are ssh's options.
func (h *host) sshArgs() []string { return h.sshArgsOf("alice") }

func (h *host) sshArgsOf(key string) []string {
	return []string{
		"-F", "/dev/null", "-i", h.dir + "/" + key, "-p", strconv.Itoa(h.port), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
	}
}

// ssh runs a command line on the host.
func (h *host) ssh(stdin io.Reader, line string) (stdout, stderr string, code int) {
	h.t.Helper()
	cmd := exec.Command("ssh", append(h.sshArgs(), h.user+"@127.0.0.1", line)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	err := cmd.Run()
	if ee := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ee) {
		h.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// git runs git in dir with the host's ssh options and returns all it said.
func (h *host) git(dir string, args ...string) (string, error) {
	cmd := h.gitCommand(dir, args...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (h *host) gitCommand(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_SSH_COMMAND=ssh "+strings.Join(h.sshArgs(), " "), "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@localhost")
	return cmd
}

// url is the address of an app's repository.
func (h *host) url(app string) string {
	return fmt.Sprintf("ssh://%s@127.0.0.1:%d/%s", h.user, h.port, app)
}

func (h *host) command(dir, name string, args ...string) {
	h.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
