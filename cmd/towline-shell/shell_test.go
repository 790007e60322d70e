package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"towline/daemon"
	"towline/daemon/socket"
)

func TestCommands(t *testing.T) {
	h := newHost(t)
	for _, c := range []struct {
		line, stdin    string
		stdout, stderr string
		code           int
	}{
		{line: "", stdout: "help of  for alice\n"},
		{line: "ps -a shop", stdout: "ps -a shop of  for alice\n"},
		{line: "TOWLINE_APP=shop ps", stdout: "ps of shop for alice\n"},
		{line: "TOWLINE_APP=shop TOWLINE_WIDTH=60 TOWLINE_COLOUR=1 screen", stdout: "60 true"},
		{line: "TOWLINE_WIDTH=x screen", stdout: "0 false"},
		{line: "TOWLINE_WIDTH=60 TOWLINE_NOPE=1 ps", stdout: "TOWLINE_NOPE=1 ps of  for alice\n"},
		{line: `echo 'a "b"' $HOME "c  d" * ; | é`, stdout: `["a \"b\"" "$HOME" "c  d" "*" ";" "|" "é"]`, stderr: "to stderr"},
		{line: "cat", stdin: strings.Repeat("0123456789abcdef", 100_000), stdout: strings.Repeat("0123456789abcdef", 100_000)},
		{line: "exit 42", code: 42},
		{line: "echo 'a", code: 2, stderr: " !     a single quote is not closed\n !     quote once for your own shell and once more for the host, like: run -- rake '\"a b\"'\n"},
		{line: "echo \xff", code: 1, stderr: " !     \"\\xff\" is not UTF-8\n"},
		{line: "git-upload-archive shop", code: 2, stderr: " !     git archive --remote is not served\n !     git clone ssh://towline@HOST/APP\n"},
		{line: "git-receive-pack '../x'", code: 3, stderr: "error: there is no app \"../x\"\n"},
		{line: "git-receive-pack --help", code: 2, stderr: " !     \"--help\" is no app's repository\n !     git remote add towline ssh://towline@HOST/APP\n"},
		{line: "git-lfs-authenticate shop upload", code: 2, stderr: " !     files in Git LFS would not be deployed: Towline has no server of it\n" +
			" !     commit them as they are (git lfs migrate export --include='*'), or deploy a checkout:\n" +
			" !     git lfs pull; git ls-files -z | tar -c --null -T - | ssh towline@HOST deploy:archive -a APP\n"},
		{line: "git-receive-pack", code: 2, stderr: " !     git-receive-pack takes one repository\n !     git remote add towline ssh://towline@HOST/APP\n"},
	} {
		stdout, stderr, code := h.ssh(strings.NewReader(c.stdin), c.line)
		if stdout != c.stdout || stderr != c.stderr || code != c.code {
			t.Errorf("%.60q: got %.80q, %q, exit %d; want %.80q, %q, exit %d", c.line, stdout, stderr, code, c.stdout, c.stderr, c.code)
		}
	}
}

func TestDaemonDown(t *testing.T) {
	h := newHost(t)
	check(t, os.Rename(h.dir+"/towlined.sock", h.dir+"/away.sock"))
	defer os.Rename(h.dir+"/away.sock", h.dir+"/towlined.sock")
	_, stderr, code := h.ssh(nil, "ps")
	if code != 7 || !strings.HasPrefix(stderr, " !     the daemon does not answer") || !strings.Contains(stderr, "systemctl status") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	_, stderr, code = h.ssh(nil, "ps --json")
	if code != 7 || !strings.HasPrefix(stderr, `{"error":{"kind":"unavailable","message":"the daemon does not answer`) {
		t.Errorf("exit %d, %q", code, stderr)
	}
	_, stderr, code = h.ssh(nil, "git-receive-pack shop")
	if code != 7 || !strings.Contains(stderr, "the daemon does not answer") {
		t.Errorf("git: exit %d, %q", code, stderr)
	}
}

// TestHangup: a command that is silent ends when its user's connection does.
func TestHangup(t *testing.T) {
	h := newHost(t)
	for _, option := range []string{"-T", "-tt"} {
		cmd := exec.Command("ssh", append(h.sshArgs(), option, h.user+"@127.0.0.1", "wait")...)
		stdin, err := cmd.StdinPipe() // stays open: its end must not be what tells
		check(t, err)
		defer stdin.Close()
		out, err := cmd.StdoutPipe()
		check(t, err)
		check(t, cmd.Start())
		if line, err := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(line) != "ready" {
			t.Fatal(line, err)
		}
		cmd.Process.Kill()
		cmd.Wait()
		select {
		case err := <-h.causes:
			if !errors.Is(err, socket.ErrHangup) {
				t.Errorf("%s: %v", option, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: the call goes on without its user", option)
		}
	}
}

// An upload whose connection dies is no upload that ended: half a dump must not pass for
// a whole one.
func TestUploadHangup(t *testing.T) {
	h := newHost(t)
	for range 10 {
		cmd := exec.Command("ssh", append(h.sshArgs(), h.user+"@127.0.0.1", "upload")...)
		stdin, err := cmd.StdinPipe()
		check(t, err)
		stdout, err := cmd.StdoutPipe()
		check(t, err)
		check(t, cmd.Start())
		_, err = stdin.Write([]byte("half"))
		check(t, err)
		_, err = io.ReadFull(stdout, make([]byte, len("coming")))
		check(t, err)
		check(t, cmd.Process.Kill())
		_ = cmd.Wait()
		select {
		case err := <-h.causes:
			if err != socket.ErrHangup {
				t.Errorf("the upload ended with %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the upload never ended")
		}
	}
	// One that ended is one.
	if out, errs, code := h.ssh(strings.NewReader("half and half"), "upload"); code != 0 {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if err := <-h.causes; err != nil {
		t.Errorf("a whole upload ended with %v", err)
	}
}

func TestTerminal(t *testing.T) {
	h := newHost(t)
	cmd := exec.Command("ssh", append(h.sshArgs(), "-tt", h.user+"@127.0.0.1", "terminal")...)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 100})
	check(t, err)
	defer tty.Close()
	out := bufio.NewReader(tty)
	expect := func(want string) {
		t.Helper()
		tty.SetDeadline(time.Now().Add(time.Minute))
		for {
			line, err := out.ReadString('\n')
			if strings.TrimRight(line, "\r\n") == want {
				return
			}
			if err != nil {
				t.Fatalf("want %q, got %q, %v", want, line, err)
			}
		}
	}
	expect("true xterm-256color 30x100")
	// Raw: keys arrive without a newline, Ctrl-C is a key, and nothing is echoed.
	for key, want := range map[string]string{"a": "key 97", "\x03": "key 3", "\r": "key 13"} {
		_, err := tty.Write([]byte(key))
		check(t, err)
		expect(want)
	}
	check(t, pty.Setsize(tty, &pty.Winsize{Rows: 40, Cols: 120}))
	select {
	case s := <-h.sizes:
		if s != (daemon.Size{Rows: 40, Cols: 120}) {
			t.Errorf("resized to %v", s)
		}
	case <-time.After(time.Minute):
		t.Error("no resize")
	}
	_, err = tty.Write([]byte("q"))
	check(t, err)
	io.Copy(io.Discard, out)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 42 {
		t.Errorf("exit %d", code)
	}
}

// TestInterrupt: with a terminal that no program took over, Ctrl-C asks the
// command to end and its exit code is still told.
func TestInterrupt(t *testing.T) {
	h := newHost(t)
	cmd := exec.Command("ssh", append(h.sshArgs(), "-tt", h.user+"@127.0.0.1", "wait")...)
	tty, err := pty.Start(cmd)
	check(t, err)
	defer tty.Close()
	out := bufio.NewReader(tty)
	if line, err := out.ReadString('\n'); strings.TrimSpace(line) != "ready" {
		t.Fatal(line, err)
	}
	_, err = tty.Write([]byte{3})
	check(t, err)
	io.Copy(io.Discard, out)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit %d", code)
	}
	if err := <-h.causes; err != socket.ErrInterrupted {
		t.Error(err)
	}
}

// checkout makes a repository with one commit.
func (h *host) checkout() string {
	dir := h.t.TempDir()
	h.command(dir, "git", "init", "-q", "-b", "main")
	check(h.t, os.WriteFile(dir+"/Procfile", []byte("web: serve\n"), 0o644))
	check(h.t, os.WriteFile(dir+"/.gitattributes", []byte("secret.txt export-ignore\n"), 0o644))
	check(h.t, os.WriteFile(dir+"/secret.txt", []byte("in the checkout"), 0o644))
	h.commit(dir, "first")
	return dir
}

func (h *host) commit(dir, message string) {
	h.t.Helper()
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", message}} {
		if out, err := h.git(dir, args...); err != nil {
			h.t.Fatal(out)
		}
	}
}

func (h *host) refs() string {
	out, _ := exec.Command("git", "-c", "safe.directory=*", "-C", h.dir+"/git/shop.git", "for-each-ref", "--format=%(refname)").Output()
	return strings.Join(strings.Fields(string(out)), " ")
}

func TestPush(t *testing.T) {
	h := newHost(t)
	dir := h.checkout()
	out, err := h.git(dir, "push", h.url("shop"), "main")
	if err != nil || !strings.Contains(out, "remote: -----> building") {
		t.Fatalf("%v\n%s", err, out)
	}
	c, _ := h.last("git:push")
	if c.Member != "alice" || c.Args[2] != "shop" || c.Args[4] != "refs/heads/main" || strings.Trim(c.Args[6], "0") != "" {
		t.Errorf("call %+v", c.Request)
	}
	var names []string
	for r := tar.NewReader(bytes.NewReader(c.stdin)); ; {
		f, err := r.Next()
		if err != nil {
			break
		}
		if f.Typeflag == tar.TypeReg {
			names = append(names, f.Name)
		}
	}
	if !slices.Equal(names, []string{".gitattributes", "Procfile", "secret.txt"}) {
		t.Errorf("source holds %q", names)
	}

	// Each form of the address leads to the same repository.
	clone := t.TempDir()
	for i, form := range []string{"shop.git", "shop", "~/shop", "shop.git/"} {
		if out, err := h.git(clone, "clone", "-q", h.url(form), string(rune('a'+i))); err != nil {
			t.Errorf("clone %s: %s", form, out)
		}
		if _, err := os.Stat(clone + "/" + string(rune('a'+i)) + "/Procfile"); err != nil {
			t.Error(err)
		}
	}
}

func TestPushRefused(t *testing.T) {
	h := newHost(t)
	dir := h.checkout()
	if out, err := h.git(dir, "push", h.url("shop"), "main"); err != nil {
		t.Fatal(out)
	}
	check(t, os.WriteFile(dir+"/Procfile", []byte("web: broken\n"), 0o644))
	h.commit(dir, "broken")
	h.command(dir, "git", "tag", "v1")
	for _, c := range []struct {
		app  string
		args []string
		want string
	}{
		{"shop", []string{"main"}, "error: the build failed"},
		{"shop", []string{"main:topic"}, "error: refs/heads/topic does not deploy"},
		{"shop", []string{"main:main", "main:master"}, "one branch at a time"},
		{"shop", []string{":main"}, "can't be deleted"},
		{"shop", []string{"main:refs/other/x"}, "neither a branch nor a tag"},
		{"nosuch", []string{"main"}, "error: there is no app \"nosuch\""},
		{"../shop", []string{"main"}, "error: there is no app \"../shop\""},
		{"Shop", []string{"main"}, "error: there is no app \"Shop\""},
	} {
		out, err := h.git(dir, append([]string{"push", h.url(c.app)}, c.args...)...)
		if err == nil || !strings.Contains(out, c.want) {
			t.Errorf("push %s %q: %v\n%s", c.app, c.args, err, out)
		}
	}
	if refs := h.refs(); refs != "refs/heads/main" {
		t.Errorf("refs: %s", refs)
	}
	if out, err := h.git(dir, "push", h.url("shop"), "v1"); err != nil {
		t.Errorf("tag: %s", out)
	}
	if out, err := h.git(h.dir, "archive", "--remote="+h.url("shop"), "main"); err == nil || !strings.Contains(out, "not served") {
		t.Errorf("archive: %s", out)
	}
}

// TestPushHangup: the deploy of a push goes on without its pusher, and the branch
// is then at what serves.
func TestPushHangup(t *testing.T) {
	h := newHost(t)
	dir := h.checkout()
	cmd := h.gitCommand(dir, "push", h.url("shop"), "main:slow")
	stderr, err := cmd.StderrPipe()
	check(t, err)
	check(t, cmd.Start())
	for s := bufio.NewScanner(stderr); s.Scan() && !strings.Contains(s.Text(), "building"); {
	}
	if out, err := h.git(dir, "push", h.url("shop"), "main"); err == nil || !strings.Contains(out, "another push is being deployed") {
		t.Errorf("a push beside it: %v\n%s", err, out)
	}
	cmd.Process.Kill()
	cmd.Wait()
	close(h.gate)
	select {
	case <-h.done:
	case <-time.After(time.Minute):
		t.Fatal("the deploy ended with its pusher")
	}
	await(t, "the branch is where the deploy is", func() bool { return strings.Contains(h.refs(), "refs/heads/slow") })
}

// TestPushStale: a push that git would refuse after the hook must not be deployed.
func TestPushStale(t *testing.T) {
	h := newHost(t)
	dir := h.checkout()
	if out, err := h.git(dir, "push", h.url("shop"), "main"); err != nil {
		t.Fatal(out)
	}
	h.mu.Lock()
	h.calls = nil
	h.mu.Unlock()
	id, err := exec.Command("git", "-C", dir, "rev-parse", "main").Output()
	check(t, err)
	commit := strings.TrimSpace(string(id))
	for _, old := range []string{strings.Repeat("0", 40), strings.Repeat("1", 40)} {
		hook := exec.Command(h.dir + "/hooks/pre-receive")
		hook.Dir = h.dir + "/git/shop.git"
		hook.Env = append(os.Environ(), "TOWLINE_APP=shop", "TOWLINE_SOCKET="+h.dir+"/towlined.sock", "TOWLINE_MEMBER=alice",
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
		hook.Stdin = strings.NewReader(old + " " + commit + " refs/heads/main\n")
		if out, err := hook.CombinedOutput(); err == nil || !strings.Contains(string(out), "pushed to meanwhile") {
			t.Errorf("from %s: %v\n%s", old, err, out)
		}
	}
	if _, asked := h.last("git:push"); asked {
		t.Error("the daemon was asked to deploy")
	}
}
