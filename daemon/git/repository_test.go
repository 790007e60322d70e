package git_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"towline/daemon"
	"towline/daemon/git"
)

// account is who owns the repositories: another one than root's when the tests
// run as root, as the daemon does.
func account() (uid, gid int) {
	if os.Getuid() == 0 {
		return 65534, 65534
	}
	return os.Getuid(), os.Getgid()
}

// reachable is a directory that every account can walk to.
func reachable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRepository(t *testing.T) {
	uid, gid := account()
	dir := filepath.Join(reachable(t), "git")
	repos := git.NewRepositories(dir, uid, gid)
	if err := repos.Create(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	path := repos.Path("shop")
	if path != filepath.Join(dir, "shop.git") {
		t.Errorf("path %s", path)
	}
	filepath.Walk(path, func(p string, info os.FileInfo, err error) error {
		if owner := info.Sys().(*syscall.Stat_t); int(owner.Uid) != uid || int(owner.Gid) != gid {
			t.Errorf("%s belongs to %d:%d, want %d:%d", p, owner.Uid, owner.Gid, uid, gid)
		}
		return err
	})

	// A push as that account, twice, the second a forced one; then what is refused.
	src := t.TempDir()
	command(t, src, "git", "init", "-q", "-b", "main")
	os.WriteFile(filepath.Join(src, "Procfile"), []byte("web: run\n"), 0o644)
	command(t, src, "git", "add", ".")
	commit := []string{"git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"}
	command(t, src, commit...)
	push := func(args ...string) error {
		serve := "setpriv --reuid " + itoa(uid) + " --regid " + itoa(gid) + " --clear-groups env HOME=/nonexistent git-receive-pack"
		if os.Getuid() != 0 {
			serve = "git-receive-pack"
		}
		cmd := exec.Command("git", append([]string{"push", "-q", "--receive-pack=" + serve, path}, args...)...)
		cmd.Dir, cmd.Stderr = src, t.Output()
		return cmd.Run()
	}
	if err := push("main"); err != nil {
		t.Fatalf("push: %v", err)
	}
	command(t, src, append(commit, "--amend", "--allow-empty", "--date=2001-01-01T00:00:00")...)
	if err := push("-f", "main"); err != nil {
		t.Errorf("forced push: %v", err)
	}
	if push(":main") == nil {
		t.Error("the branch could be deleted")
	}
	head := strings.TrimSpace(command(t, "/", "git", "-c", "safe.directory="+path, "--git-dir="+path, "rev-parse", "HEAD"))
	if want := strings.TrimSpace(command(t, src, "git", "rev-parse", "main")); head != want {
		t.Errorf("HEAD is %s, want %s", head, want)
	}

	// Again is no error and keeps what is there.
	if err := repos.Create(t.Context(), "shop"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(path, "refs", "heads", "main")); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := repos.Remove(t.Context(), "shop"); err != nil {
			t.Error(err)
		}
	}
	empty(t, dir)
}

// TestRepositoryAfterCrash finds what a daemon that was killed half-way leaves.
func TestRepositoryAfterCrash(t *testing.T) {
	uid, gid := account()
	dir := reachable(t)
	repos := git.NewRepositories(dir, uid, gid)
	for _, left := range []string{".shop.new/objects", ".shop.removed/objects"} {
		if err := os.MkdirAll(filepath.Join(dir, left), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := repos.Create(t.Context(), "shop"); err != nil {
		t.Error(err)
	}
	if err := repos.Remove(t.Context(), "shop"); err != nil {
		t.Error(err)
	}
	empty(t, dir)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := repos.Create(ctx, "shop"); err == nil {
		t.Error("created although cancelled")
	}
	empty(t, dir)
}

func TestRepositoryNames(t *testing.T) {
	uid, gid := account()
	dir := filepath.Join(reachable(t), "git")
	repos := git.NewRepositories(dir, uid, gid)
	for _, app := range []string{"", "..", "../x", "a/b", "-x", "Shop", ".shop.new"} {
		if repos.Create(t.Context(), app) == nil || repos.Remove(t.Context(), app) == nil {
			t.Errorf("%q was accepted", app)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("something was made")
	}
	var _ daemon.Repositories = repos
}

func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
}
