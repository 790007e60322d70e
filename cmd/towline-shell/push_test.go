package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"towline/daemon/socket"
)

// await polls until done, with a generous bound.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// out runs git in dir and returns what it printed, without the last newline.
func (h *host) out(dir string, stdin io.Reader, args ...string) string {
	h.t.Helper()
	cmd := h.gitCommand(dir, args...)
	cmd.Stdin = stdin
	out, err := cmd.Output()
	if ee := (*exec.ExitError)(nil); errors.As(err, &ee) {
		h.t.Fatalf("git %q: %v\n%s", args, err, ee.Stderr)
	}
	check(h.t, err)
	return strings.TrimSpace(string(out))
}

// bomb makes a commit whose few objects stand for width to the power of depth
// files, or of empty directories.
func (h *host) bomb(dir string, width, depth int, leaf string) string {
	h.t.Helper()
	kind, mode := "tree", "040000"
	object := h.out(dir, strings.NewReader(""), "mktree")
	if leaf == "blob" {
		object, kind, mode = h.out(dir, strings.NewReader("boom\n"), "hash-object", "-w", "--stdin"), "blob", "100644"
	}
	for range depth {
		var tree strings.Builder
		for i := range width {
			fmt.Fprintf(&tree, "%s %s %s\t%d\n", mode, kind, object, i)
		}
		object, kind, mode = h.out(dir, strings.NewReader(tree.String()), "mktree"), "tree", "040000"
	}
	return h.out(dir, nil, "commit-tree", "-m", "boom", object)
}

// TestPushReported: what is reported as refused was not deployed, and what was
// deployed is where its branch is, however the commit arrives.
func TestPushReported(t *testing.T) {
	h := newHost(t)
	full := h.checkout()
	check(t, os.WriteFile(full+"/README", []byte("second"), 0o644))
	h.commit(full, "second")
	shallow := t.TempDir()
	h.command(shallow, "git", "clone", "-q", "--depth=1", "file://"+full, ".")
	h.command(full, "git", "-c", "user.name=a", "-c", "user.email=a@localhost", "tag", "-a", "-m", "one", "v1")
	h.command(full, "git", "tag", "plain")
	submodule := t.TempDir()
	h.command(submodule, "git", "init", "-q", "-b", "main")
	h.command(submodule, "git", "update-index", "--add", "--cacheinfo", "160000,"+h.out(full, nil, "rev-parse", "HEAD")+",vendor/lib")
	check(t, os.WriteFile(submodule+"/.gitmodules", []byte("[submodule \"lib\"]\n\tpath = vendor/lib\n\turl = https://ann:secret@example.com/lib.git\n"), 0o644))
	h.command(submodule, "git", "add", ".gitmodules")
	h.command(submodule, "git", "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-q", "-m", "with a submodule")
	sha256 := t.TempDir()
	h.command(sha256, "git", "init", "-q", "-b", "main", "--object-format=sha256")
	check(t, os.WriteFile(sha256+"/Procfile", []byte("web: serve\n"), 0o644))
	h.commit(sha256, "first")
	files, dirs := h.bomb(full, 10, 10, "blob"), h.bomb(full, 10, 10, "tree")
	tree := h.out(full, nil, "rev-parse", "HEAD^{tree}")

	for _, c := range []struct {
		name     string
		dir      string
		args     []string
		deployed bool
		taken    bool // by git, though nothing is deployed
		says     string
	}{
		{name: "annotated tag to the branch", dir: full, args: []string{"--force", "v1:refs/heads/main"}, says: "a tag, not a commit"},
		{name: "tree to the branch", dir: full, args: []string{"--force", tree + ":refs/heads/main"}, says: "a tree, not a commit"},
		{name: "ten billion files", dir: full, args: []string{files + ":refs/heads/main"}, says: "more than 200000 files"},
		{name: "ten billion directories", dir: full, args: []string{dirs + ":refs/heads/main"}, says: "more than 200000 files"},
		{name: "submodule", dir: submodule, args: []string{"main"}, says: `"vendor/lib" is a submodule: its files are in https://example.com/lib.git, and not part of the push`},
		{name: "a name below a branch", dir: full, args: []string{"main", "plain:refs/tags/x", "plain:refs/tags/x/y"}, says: "git does not take this push"},
		{name: "SHA-256", dir: sha256, args: []string{"main"}, says: "names its objects by SHA-256"},
		{name: "tag alone", dir: full, args: []string{"plain:main"}, taken: true, says: "refs/tags/main is a tag: nothing is deployed"},
		{name: "shallow clone", dir: shallow, args: []string{"HEAD:refs/heads/main"}, deployed: true, says: "-----> building"},
		{name: "whole history upon it", dir: full, args: []string{"HEAD~1:refs/heads/main", "--force"}, deployed: true, says: "-----> building"},
		{name: "tag that names the commit", dir: full, args: []string{"v1^{commit}:refs/heads/main"}, deployed: true, says: "-----> building"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.mu.Lock()
			h.calls = nil
			h.mu.Unlock()
			out, err := h.git(c.dir, append([]string{"push", h.url("shop")}, c.args...)...)
			// Git leaves ssh at once when it stumbles, and ssh may be gone before the words.
			for try := 0; c.dir == sha256 && !strings.Contains(out, c.says) && try < 50; try++ {
				out, err = h.git(c.dir, append([]string{"push", h.url("shop")}, c.args...)...)
			}
			push, asked := h.last("git:push")
			if (err == nil) != (c.deployed || c.taken) || asked != c.deployed || !strings.Contains(out, c.says) {
				t.Fatalf("exit %v, deployed %v\n%s", err, asked, out)
			}
			if !asked {
				return
			}
			if at := h.out(h.dir+"/git/shop.git", nil, "-c", "safe.directory=*", "rev-parse", "refs/heads/main"); at != push.Args[8] {
				t.Errorf("%s was deployed, and the branch is at %s", push.Args[8], at)
			}
		})
	}
}

// TestPushAtomic: a push whose other references git refuses is refused as a whole,
// before anything is built.
func TestPushAtomic(t *testing.T) {
	h := newHost(t)
	dir := h.checkout()
	if out, err := h.git(dir, "push", h.url("shop"), "main:refs/tags/v"); err != nil {
		t.Fatal(out)
	}
	out, err := h.git(dir, "push", "--atomic", h.url("shop"), "main", "main:refs/tags/v/1")
	if _, asked := h.last("git:push"); err == nil || asked {
		t.Errorf("deployed %v, %v\n%s", asked, err, out)
	}
}

// TestPushManyTags: references are bounded, as each is a file.
func TestPushManyTags(t *testing.T) {
	h := newHost(t)
	dir := h.checkout()
	var tags strings.Builder
	for i := range maxUpdates + 1 {
		fmt.Fprintf(&tags, "create refs/tags/t%d HEAD\n", i)
	}
	h.out(dir, strings.NewReader(tags.String()), "update-ref", "--stdin")
	out, err := h.git(dir, "push", "--tags", h.url("shop"), "main")
	if _, asked := h.last("git:push"); err == nil || asked || !strings.Contains(out, "references at once") {
		t.Errorf("deployed %v, %v\n%.2000s", asked, err, out)
	}
	if refs := h.refs(); refs != "" {
		t.Errorf("refs: %.200s", refs)
	}
	t.Chdir(dir)
	t.Setenv("GIT_OBJECT_DIRECTORY", t.TempDir()) // as git has it for a hook
	if size, err := repositorySize(); err != nil || size == 0 {
		t.Errorf("the repository takes %d KiB, %v", size, err)
	}
	if got := objectSize("count: 3\nsize: 12\nin-pack: 5\npacks: 1\nsize-pack: 100\nprune-packable: 0\ngarbage: 0\nsize-garbage: 7\nalternate: /x\n"); got != 119 {
		t.Errorf("size is %d", got)
	}
}

// TestCloneMaster: a clone checks out the branch that was pushed, main or not.
func TestCloneMaster(t *testing.T) {
	h := newHost(t)
	dir := h.checkout()
	h.tell(&h.branch, "refs/heads/master")
	if out, err := h.git(dir, "push", h.url("shop"), "main:master"); err != nil {
		t.Fatal(out)
	}
	clone := t.TempDir()
	if out, err := h.git(clone, "clone", h.url("shop"), "."); err != nil {
		t.Fatal(out)
	}
	if _, err := os.Stat(clone + "/Procfile"); err != nil {
		t.Error(err)
	}
	for branch, want := range map[string]string{"": "master", "main": "main", "master": "master", "x/y": "x/y"} {
		pointHead("git", h.dir+"/git/shop.git", branch, append(os.Environ(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"))
		head, err := os.ReadFile(h.dir + "/git/shop.git/HEAD")
		if err != nil || strings.TrimSpace(string(head)) != "ref: refs/heads/"+want {
			t.Errorf("deploys %q: HEAD is %q, %v", branch, head, err)
		}
	}
}

// TestInternal: what towline-shell and the hook ask, no member can ask.
func TestInternal(t *testing.T) {
	h := newHost(t)
	dir := h.checkout()
	if out, err := h.git(dir, "push", h.url("shop"), "main"); err != nil {
		t.Fatal(out)
	}
	for verb, internal := range map[string]bool{"git:receive": true, "git:push": true} {
		if c, ok := h.last(verb); !ok || c.Internal != internal {
			t.Errorf("%s: %+v", verb, c.Request)
		}
	}
	h.ssh(strings.NewReader(""), "git:push --app shop --ref refs/heads/main --new forged")
	if c, ok := h.last("git:push"); !ok || c.Internal {
		t.Errorf("typed: %+v", c.Request)
	}
}

// TestReceiveHangup: what works on a push ends with its pusher as long as nothing
// is being deployed, and leaves nothing behind.
func TestReceiveHangup(t *testing.T) {
	h := newHost(t)
	check(t, os.MkdirAll(h.dir+"/git/shop.git/hooks", 0o755))
	cmd := exec.Command("ssh", append(h.sshArgs(), h.user+"@127.0.0.1", "git-receive-pack shop")...)
	stdin, err := cmd.StdinPipe()
	check(t, err)
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	// A command, and the beginning of a pack that never comes.
	line := strings.Repeat("0", 40) + " " + strings.Repeat("1", 40) + " refs/heads/main\x00report-status"
	_, err = fmt.Fprintf(stdin, "%04x%s0000PACK", len(line)+4, line)
	check(t, err)
	running := func() bool { return len(processesIn(t, h.dir+"/git/shop.git")) > 0 }
	await(t, "git works", running)
	check(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	await(t, "git has ended", func() bool { return !running() })
	if left, _ := filepath.Glob(h.dir + "/git/shop.git/objects/tmp_objdir*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestExportHangup: the same while the hook waits for its turn.
func TestExportHangup(t *testing.T) {
	h := newHost(t)
	dir := h.checkout()
	push := h.gitCommand(dir, "push", h.url("shop"), "main:wait")
	check(t, push.Start())
	select {
	case <-h.waits:
	case <-time.After(time.Minute):
		t.Fatal("the hook does not reach the daemon")
	}
	check(t, push.Process.Kill())
	_ = push.Wait()
	if err := <-h.causes; !errors.Is(err, socket.ErrHangup) {
		t.Error(err)
	}
	await(t, "git has ended", func() bool { return len(processesIn(t, h.dir+"/git/shop.git")) == 0 })
	if refs := h.refs(); refs != "" {
		t.Errorf("refs: %s", refs)
	}
}

// processesIn are the command lines of processes that work in dir.
func processesIn(t testing.TB, dir string) (found []string) {
	entries, err := filepath.Glob("/proc/[0-9]*/cwd")
	check(t, err)
	for _, e := range entries {
		if at, err := os.Readlink(e); err == nil && at == dir {
			line, _ := os.ReadFile(filepath.Dir(e) + "/cmdline")
			found = append(found, string(line))
		}
	}
	return found
}

// TestReadTree: what stands in a tree is counted, and read no further than to what
// is too much.
func TestReadTree(t *testing.T) {
	const object = "1111111111111111111111111111111111111111"
	entry := func(mode, kind, size, path string) string {
		return fmt.Sprintf("%s %s %s %7s\t%s\x00", mode, kind, object, size, path)
	}
	for _, c := range []struct{ name, tree, err string }{
		{"empty", "", ""},
		{"file", entry("100644", "blob", "12", "a b"), ""},
		{"as much as may be", entry("100644", "blob", fmt.Sprint(maxBytes), "a"), ""},
		{"a byte more", entry("100644", "blob", fmt.Sprint(maxBytes), "a") + entry("100644", "blob", "1", "b"), "larger than 2147 MB"},
		{"more than can be counted", entry("100644", "blob", "9223372036854775807", "a"), "larger than"},
		{"sum that overflows", entry("100644", "blob", "1", "a") + entry("100644", "blob", "9223372036854775807", "b"), "larger than"},
		{"long path", entry("100644", "blob", "1", strings.Repeat("p", maxPath+1)), "too long"},
		{"endless path", "100644 blob " + object + " 1\t" + strings.Repeat("p/", maxPath*4), "too long"},
		{"files", strings.Repeat(entry("100644", "blob", "0", "a"), maxFiles+1), "more than 200000 files"},
		{"directories", strings.Repeat(entry("040000", "tree", "-", "a"), maxFiles+1), "more than 200000 files"},
		{"cut short", entry("100644", "blob", "1", "a")[:20], "ls-tree: EOF"},
		{"nonsense", "what?\x00", "ls-tree says"},
		{"no size", entry("100644", "blob", "BAD", "a"), "ls-tree says"},
	} {
		_, err := readTree(strings.NewReader(c.tree))
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}
	found, err := readTree(strings.NewReader(entry("160000", "commit", "-", "lib") + strings.Repeat(entry("160000", "commit", "-", "b"), maxSubmodules)))
	if err != nil || len(found) != maxSubmodules || found[0] != "lib" {
		t.Errorf("submodules: %d, %v", len(found), err)
	}
}

// TestLimits: what git and the hook may use is limited.
func TestLimits(t *testing.T) {
	if os.Getenv("TOWLINE_TEST_LIMITS") != "" {
		check(t, limitResources(2<<30))
		out, err := exec.Command("sh", "-c", "ulimit -v; ulimit -c; ulimit -t; ulimit -n").Output()
		fmt.Printf("%s%v\n", out, err)
		return
	}
	if testMemory == "0" {
		t.Skip("the race detector needs more memory than there is")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLimits$")
	cmd.Env = append(os.Environ(), "TOWLINE_TEST_LIMITS=1")
	out, err := cmd.CombinedOutput()
	if want := "2097152\n0\n1200\n1024\n<nil>\n"; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v\n%s", err, out)
	}
	for text, want := range map[string]uint64{"0": 0, "5": 5, "1k": 1 << 10, "2g": 2 << 30, "512m": 512 << 20} {
		if n, err := parseSize(text); err != nil || n != want {
			t.Errorf("%s: %d, %v", text, n, err)
		}
	}
	for _, text := range []string{"", "g", "-1", "1.5g", "2 g", "99999999999g"} {
		if n, err := parseSize(text); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
}
