package git_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/git"
)

// TestCommits counts what one commit has and another has not, and says so of one that is not
// there.
func TestCommits(t *testing.T) {
	uid, gid := account()
	repos := git.NewRepositories(filepath.Join(reachable(t), "git"), uid, gid)
	if err := repos.Create(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	src := t.TempDir()
	command(t, src, "git", "init", "-q", "-b", "main")
	var ids []string
	for _, subject := range []string{"first", "second", "third \x1b[31mred", "fourth"} {
		command(t, src, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", subject)
		ids = append(ids, strings.TrimSpace(command(t, src, "git", "rev-parse", "HEAD")))
	}
	command(t, src, "rm", "-rf", repos.Path("shop"))
	command(t, src, "git", "clone", "-q", "--bare", ".", repos.Path("shop"))
	command(t, src, "chown", "-R", fmt.Sprintf("%d:%d", uid, gid), repos.Path("shop"))
	list, ahead, err := repos.Commits(t.Context(), "shop", ids[0], ids[3], 2)
	if err != nil || ahead != 3 || len(list) != 2 || list[0] != (daemon.Commit{ID: ids[3], Subject: "fourth"}) || list[1].Subject != "third [31mred" {
		t.Errorf("%d ahead, %q, %v", ahead, list, err)
	}
	for _, c := range []struct {
		from, to string
		ahead    int
	}{{ids[3], ids[0], 0}, {ids[1], ids[1], 0}, {ids[1], ids[2], 1}} {
		if _, ahead, err := repos.Commits(t.Context(), "shop", c.from, c.to, 0); err != nil || ahead != c.ahead {
			t.Errorf("%v: %d, %v", c, ahead, err)
		}
	}
	if _, _, err := repos.Commits(t.Context(), "shop", ids[0], strings.Repeat("a", 40), 1); !daemon.IsKind(err, daemon.NotFound) {
		t.Errorf("a commit that is not there: %v", err)
	}
	for _, id := range []string{"", "HEAD", "--all", ids[0][:8], ids[0] + "\n"} {
		if _, _, err := repos.Commits(t.Context(), "shop", id, ids[0], 1); !daemon.IsKind(err, daemon.Invalid) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestLongSubject: of what a commit says no more than its beginning is kept.
func TestLongSubject(t *testing.T) {
	uid, gid := account()
	repos := git.NewRepositories(filepath.Join(reachable(t), "git"), uid, gid)
	if err := repos.Create(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	src := t.TempDir()
	command(t, src, "git", "init", "-q", "-b", "main")
	var ids []string
	for _, subject := range []string{"first", strings.Repeat("é", 1<<20), "third"} {
		file := filepath.Join(t.TempDir(), "message")
		if err := os.WriteFile(file, []byte(subject), 0o600); err != nil {
			t.Fatal(err)
		}
		command(t, src, "git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-F", file)
		ids = append(ids, strings.TrimSpace(command(t, src, "git", "rev-parse", "HEAD")))
	}
	command(t, src, "rm", "-rf", repos.Path("shop"))
	command(t, src, "git", "clone", "-q", "--bare", ".", repos.Path("shop"))
	command(t, src, "chown", "-R", fmt.Sprintf("%d:%d", uid, gid), repos.Path("shop"))
	list, ahead, err := repos.Commits(t.Context(), "shop", ids[0], ids[2], 50)
	if err != nil || ahead != 2 || len(list) != 2 || list[0].Subject != "third" {
		t.Fatalf("%d ahead, %.1000q, %v", ahead, list, err)
	}
	if s := list[1].Subject; len(s) < 100 || len(s) > 400 || strings.Trim(s, "é") != "" || list[1].ID != ids[1] {
		t.Errorf("%d bytes: %.1000q", len(s), list[1])
	}
}
