package git_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"towline/daemon/git"
)

// TestBundle: what was pushed comes back from a bundle, with every branch and tag; a
// repository to which nothing was pushed has none; a damaged bundle is refused.
func TestBundle(t *testing.T) {
	dir := t.TempDir()
	r := git.NewRepositories(filepath.Join(dir, "git"), os.Getuid(), os.Getgid())
	other := git.NewRepositories(filepath.Join(dir, "other"), os.Getuid(), os.Getgid())
	run := func(at string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", at, "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	for _, app := range []string{"shop", "empty"} {
		if err := r.Create(t.Context(), app); err != nil {
			t.Fatal(err)
		}
		if err := other.Create(t.Context(), app); err != nil {
			t.Fatal(err)
		}
	}
	work := filepath.Join(dir, "work")
	run(dir, "init", "-q", work)
	run(work, "commit", "-q", "--allow-empty", "-m", "first")
	run(work, "tag", "v1")
	run(work, "push", "-q", r.Path("shop"), "HEAD:refs/heads/main", "HEAD:refs/heads/other", "v1")
	bundle := func(app string) string {
		path := filepath.Join(dir, app+".bundle")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := r.Bundle(t.Context(), app, f); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if info, err := os.Stat(bundle("empty")); err != nil || info.Size() != 0 {
		t.Error(info, err)
	}
	path := bundle("shop")
	if err := other.Unbundle(t.Context(), "shop", path); err != nil {
		t.Fatal(err)
	}
	if have, want := run(other.Path("shop"), "for-each-ref"), run(r.Path("shop"), "for-each-ref"); have != want || strings.Count(have, "\n") != 3 {
		t.Errorf("%s\nwant\n%s", have, want)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-30] ^= 0xff
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := other.Unbundle(t.Context(), "empty", path); err == nil {
		t.Error("a damaged bundle is taken")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "other", ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
