package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"towline/cmd/internal/session"
	"towline/daemon/socket/wire"
)

// git runs git's end of a push or a fetch, once the daemon has said that the
// member may, where the repository is, and which branch deploys.
func (o options) git(words []string) int {
	var ask, verb string
	switch words[0] {
	case "git-receive-pack":
		ask, verb = "git:receive", "receive-pack"
	case "git-upload-pack":
		ask, verb = "git:upload", "upload-pack"
	case "git-lfs-authenticate", "git-lfs-transfer":
		return refuse(errors.New("files in Git LFS would not be deployed: Towline has no server of it"),
			"commit them as they are (git lfs migrate export --include='*'), or deploy a checkout:\n"+
				"git lfs pull; git ls-files -z | tar -c --null -T - | ssh towline@HOST deploy:archive -a APP")
	default:
		return refuse(errors.New("git archive --remote is not served"), "git clone ssh://towline@HOST/APP")
	}
	if len(words) != 2 {
		return refuse(fmt.Errorf("%s takes one repository", words[0]), "git remote add towline ssh://towline@HOST/APP")
	}
	app := repositoryApp(words[1])
	if app == "" || app[0] == '-' {
		return refuse(fmt.Errorf("%q is no app's repository", words[1]), "git remote add towline ssh://towline@HOST/APP")
	}

	var answer bytes.Buffer
	req := wire.Request{Member: o.member, Key: o.key, Address: address(), Internal: true, Args: []string{ask, app}}
	code, err := wire.Run(context.Background(), o.socket, req, wire.Streams{Stdout: &answer, Stderr: os.Stderr})
	if err != nil {
		return session.Report(err)
	}
	if code != 0 {
		return code
	}
	dir, rest, _ := strings.Cut(answer.String(), "\n")
	branch := strings.TrimSuffix(rest, "\n")
	if !appName(app) || filepath.Clean(dir) != dir || !strings.HasPrefix(dir, filepath.Clean(o.repositories)+"/") {
		return refuse(fmt.Errorf("%q is no repository of Towline's", dir), "towline apps")
	}
	git, err := gitPath()
	if err != nil {
		session.Complain(fmt.Errorf("git: %w", err), "install git on the host")
		return 1
	}
	env := o.gitEnv(app, dir)
	if verb == "upload-pack" {
		pointHead(git, dir, branch, env)
	}
	code, err = o.superviseGit(git, []string{verb, dir}, env)
	if verb == "receive-pack" {
		dropTests(git, dir, env)
	}
	if err != nil {
		session.Complain(fmt.Errorf("git: %w", err), "")
	}
	return code
}

// repositoryApp is the app in a repository's path: shop, /shop, shop.git and
// /shop.git/ are the same.
func repositoryApp(path string) string {
	path = strings.TrimPrefix(path, "/")
	path = strings.TrimPrefix(path, "~/")
	path = strings.TrimSuffix(path, "/")
	return strings.TrimSuffix(path, ".git")
}

// gitEnv is all that git and the hook see of an environment. Its configuration
// comes before that of the repository and no other file is read.
func (o options) gitEnv(app, dir string) []string {
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"HOME=/nonexistent",
		"LANG=C.UTF-8",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"TOWLINE_MEMBER=" + o.member,
		"TOWLINE_KEY=" + o.key,
		"TOWLINE_ADDRESS=" + address(),
		"TOWLINE_APP=" + app,
		"TOWLINE_SOCKET=" + o.socket,
	}
	if p := os.Getenv("GIT_PROTOCOL"); strings.HasPrefix(p, "version=") && len(p) == len("version=")+1 {
		env = append(env, "GIT_PROTOCOL="+p)
	}
	for i, kv := range [][2]string{
		{"core.hooksPath", o.hooks},
		{"safe.directory", dir}, // the daemon vouches for it, whoever owns it
		{"receive.maxInputSize", o.maxPush},
		{"receive.denyDeletes", "true"},
		{"receive.denyNonFastForwards", "false"},
		{"receive.shallowUpdate", "true"}, // what CI has checked out is mostly shallow
		{"receive.advertisePushOptions", "false"},
		{"transfer.hideRefs", "refs/towline"},
		{"uploadpack.allowAnySHA1InWant", "false"},
		{"gc.autoDetach", "true"},
		// Less memory than git takes by itself, to stay below the limit.
		{"core.packedGitLimit", "256m"},
		{"core.deltaBaseCacheLimit", "64m"},
		{"core.bigFileThreshold", "64m"},
		{"pack.windowMemory", "128m"},
	} {
		n := strconv.Itoa(i)
		env = append(env, "GIT_CONFIG_KEY_"+n+"="+kv[0], "GIT_CONFIG_VALUE_"+n+"="+kv[1], "GIT_CONFIG_COUNT="+strconv.Itoa(i+1))
	}
	return env
}

// dropTests removes what was pushed to have its tests run. It is no branch of the app: pushed again,
// it is tested again. What could not be removed the next push removes.
func dropTests(git, dir string, env []string) {
	list := exec.Command(git, "-C", dir, "for-each-ref", "--format=delete %(refname)", testRefs)
	list.Env = env
	refs, err := list.Output()
	if err != nil || len(refs) == 0 {
		return
	}
	drop := exec.Command(git, "-C", dir, "update-ref", "--stdin")
	drop.Env, drop.Stdin = env, bytes.NewReader(refs)
	_ = drop.Run()
}

// pointHead has the repository's HEAD name the branch that deploys, so that a clone
// checks it out: branch, or main or master where the app has not chosen. A HEAD that
// can't be changed costs a clone one more command and is no reason to refuse it.
func pointHead(git, dir, branch string, env []string) {
	ask := func(args ...string) string {
		cmd := exec.Command(git, append([]string{"-C", dir}, args...)...)
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	if branch == "" {
		heads := strings.Fields(ask("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/main", "refs/heads/master"))
		if branch = "main"; slices.Equal(heads, []string{"master"}) {
			branch = "master"
		}
	}
	if head := "refs/heads/" + branch; ask("symbolic-ref", "--quiet", "HEAD") != head {
		_ = ask("symbolic-ref", "HEAD", head)
	}
}

func gitPath() (string, error) {
	for _, p := range []string{"/usr/bin/git", "/usr/local/bin/git", "/bin/git"} {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", errors.New("not found")
}
