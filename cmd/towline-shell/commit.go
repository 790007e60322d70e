package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"towline/daemon/submodule"
)

// What the hook looks at before anything is built: git runs it even for updates
// that git itself rejects afterwards, when the commit would serve already.

// Limits of the source, as those of the daemon's unpacker. They are counted before
// anything is exported: git names a tree's content by its hash, so that a few
// small objects can stand for more files than there is memory.
const (
	maxFiles = 200_000
	maxBytes = 2 << 30
	maxPath  = 4096
)

// Limits of a repository. Its commits are only ever added to.
const (
	maxUpdates    = 2_000   // references of one push
	maxReferences = 20_000  // of a repository
	maxRepository = 8 << 20 // KiB
)

// checkRoom bounds what pushes can make a repository grow to.
func checkRoom(updates []update) error {
	const hint = "delete what is not needed and make the app anew, or ask whoever administers this machine"
	if len(updates) > maxUpdates {
		return hinted{fmt.Errorf("%d references at once; at most %d are taken", len(updates), maxUpdates), "push the branch alone: git push towline main"}
	}
	refs, err := runGit(nil, nil, "for-each-ref", "--format=x", fmt.Sprintf("--count=%d", maxReferences+1))
	if err != nil {
		return err
	}
	if n := strings.Count(refs, "\n"); n+len(updates) > maxReferences {
		return hinted{fmt.Errorf("the repository would have more than %d branches and tags", maxReferences), hint}
	}
	size, err := repositorySize()
	if err != nil {
		return err
	}
	if size > maxRepository {
		return hinted{fmt.Errorf("the repository holds more than %d GB", maxRepository>>20), hint}
	}
	return nil
}

// repositorySize is how many KiB the repository takes, without the push, which is in
// a directory of its own as yet.
func repositorySize() (kib int64, err error) {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool {
		return strings.HasPrefix(s, "GIT_QUARANTINE_PATH=") || strings.HasPrefix(s, "GIT_OBJECT_DIRECTORY=") || strings.HasPrefix(s, "GIT_ALTERNATE_OBJECT_DIRECTORIES=")
	})
	counts, err := runGit(env, nil, "count-objects", "-v")
	return objectSize(counts), err
}

// objectSize reads from what git count-objects -v prints how many KiB they take.
func objectSize(counts string) (kib int64) {
	for line := range strings.Lines(counts) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && (key == "size" || key == "size-pack" || key == "size-garbage") {
			kib += n
		}
	}
	return kib
}

// hinted is an error with what to type next.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// checkCommit tells whether git will take the updates, of which branch is the one
// to deploy, and whether its commit can be deployed.
func checkCommit(updates []update, branch update) error {
	for _, check := range []func() error{
		func() error { return isCommit(branch) },
		func() error { return isWhole(branch.new) },
		func() error { return gitTakes(updates) },
		func() error { return checkTree(branch.new) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// isCommit refuses what no branch can point to.
func isCommit(u update) error {
	out, err := runGit(nil, nil, "cat-file", "-t", u.new)
	if err != nil {
		return hinted{fmt.Errorf("the objects of the push did not arrive whole: %w", err), "push again"}
	}
	if kind := strings.TrimSpace(out); kind != "commit" {
		return hinted{fmt.Errorf("%s is to be a %s, not a commit", u.ref, kind),
			"push the commit that it names: git push towline NAME^{commit}:" + u.ref}
	}
	return nil
}

// isWhole tells whether everything that the commit names is there. A push from a
// shallow clone brings a list of the commits whose parents are left out, and git
// hands that to its commands.
func isWhole(commit string) error {
	_, err := runGit(nil, nil, "rev-list", "--objects", "--quiet", commit, "--not", "--all")
	if err != nil {
		return hinted{fmt.Errorf("the history of %.8s is not whole: %w", commit, err), "git fsck; git fetch --unshallow; then push again"}
	}
	return nil
}

// gitTakes has git prepare the updates as it will after the hook, and give up. Git
// forbids that to hooks, lest they leave references to objects that may go again;
// these are never made.
func gitTakes(updates []update) error {
	var in bytes.Buffer
	in.WriteString("start\x00")
	for _, u := range updates {
		fmt.Fprintf(&in, "update %s\x00%s\x00%s\x00", u.ref, u.new, u.old)
	}
	in.WriteString("prepare\x00abort\x00")
	env := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "GIT_QUARANTINE_PATH=") })
	if _, err := runGit(env, &in, "update-ref", "--stdin", "-z"); err != nil {
		return hinted{fmt.Errorf("git does not take this push: %w", err), "push the branch alone: git push towline main"}
	}
	return nil
}

// checkTree counts what the commit's tree stands for.
func checkTree(commit string) error {
	cmd := exec.Command("git", "ls-tree", "-r", "-t", "-l", "-z", "--full-tree", commit)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var submodules []string
	if submodules, err = readTree(out); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("git ls-tree: %w", err)
	}
	if len(submodules) > 0 {
		return refuseSubmodules(commit, submodules)
	}
	return nil
}

// refuseSubmodules says where the files are that would be missing.
func refuseSubmodules(commit string, paths []string) error {
	var list []submodule.Submodule
	known := map[string]string{} // path -> URL
	for _, s := range submodule.Parse(gitmodules(commit)) {
		known[s.Path] = s.URL
	}
	for _, path := range paths {
		list = append(list, submodule.Submodule{Path: path, URL: known[path]})
	}
	message, hint := submodule.Refuse(list, os.Getenv("TOWLINE_APP"))
	return hinted{errors.New(message), hint}
}

// gitmodules is the commit's .gitmodules; empty: there is none, or none of a size to be read.
func gitmodules(commit string) string {
	blob := commit + ":" + submodule.File
	size, err := runGit(nil, nil, "cat-file", "-s", blob)
	if n, _ := strconv.Atoi(strings.TrimSpace(size)); err != nil || n > submodule.Max {
		return ""
	}
	text, err := runGit(nil, nil, "cat-file", "blob", blob)
	if err != nil {
		return ""
	}
	return text
}

// maxSubmodules bounds what is remembered of a tree.
const maxSubmodules = 1000

// readTree reads what git ls-tree -r -t -l -z prints, no further than to the first
// thing that can't be deployed. It returns the paths of submodules.
func readTree(r io.Reader) (submodules []string, err error) {
	const hint = "leave out what is not source, with .gitignore; large files belong into a service of their own"
	var files, size int64
	lines := bufio.NewReaderSize(r, 2*maxPath)
	for {
		text, err := lines.ReadSlice(0)
		if err == io.EOF && len(text) == 0 {
			return submodules, nil
		}
		line := strings.TrimSuffix(string(text), "\x00")
		head, path, _ := strings.Cut(line, "\t")
		if errors.Is(err, bufio.ErrBufferFull) || len(path) > maxPath {
			return nil, hinted{fmt.Errorf("the path %.100q... is too long", path), hint}
		}
		if err != nil {
			return nil, fmt.Errorf("git ls-tree: %w", err)
		}
		fields := strings.Fields(head) // mode, type, object, size
		if len(fields) != 4 {
			return nil, fmt.Errorf("git ls-tree says %q", line)
		}
		if files++; files > maxFiles {
			return nil, hinted{fmt.Errorf("the source has more than %d files", int64(maxFiles)), hint}
		}
		switch fields[1] {
		case "commit":
			if len(submodules) < maxSubmodules {
				submodules = append(submodules, path)
			}
		case "blob":
			n, err := strconv.ParseInt(fields[3], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("git ls-tree says %q", line)
			}
			if size += n; n < 0 || n > maxBytes || size > maxBytes {
				return nil, hinted{fmt.Errorf("the source is larger than %d MB", int64(maxBytes/1_000_000)), hint}
			}
		}
	}
}

// runGit runs git in the repository and returns what it printed. What it complained
// about is the error. A nil env is this process's own.
func runGit(env []string, stdin io.Reader, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	var errs bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stderr = env, stdin, &limitedBuffer{&errs}
	out, err := cmd.Output()
	if err == nil {
		return string(out), nil
	}
	if line, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n"); line != "" {
		err = errors.New(strings.TrimPrefix(strings.TrimPrefix(line, "fatal: "), "prepare: "))
	}
	return "", err
}

// limitedBuffer keeps the first kilobyte.
type limitedBuffer struct{ b *bytes.Buffer }

func (l *limitedBuffer) Write(p []byte) (int, error) {
	l.b.Write(p[:min(len(p), 1024-min(1024, l.b.Len()))])
	return len(p), nil
}
