package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"towline/cmd/internal/session"
	"towline/daemon/socket/wire"
)

// update is one line of what git tells the hook.
type update struct{ old, new, ref string }

// testRefs begin what is pushed to have its tests run: nothing of it is deployed, and the repository
// does not keep it, so that the same can be pushed again.
const testRefs = "refs/ci/"

func (u update) isTest() bool { return strings.HasPrefix(u.ref, testRefs) }

// preReceive hands the pushed commit to the daemon and takes the push if the
// daemon does. The objects are in quarantine meanwhile: what is refused leaves
// nothing in the repository.
func preReceive(stdin io.Reader) int {
	// Who pushes may leave. The supervisor ends this process then, unless the deploy
	// has begun.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGINT)
	if os.Getenv(hookEnv) != "" {
		syscall.CloseOnExec(hookFile)
	}
	updates, err := readUpdates(stdin)
	if err != nil {
		session.Complain(err, "")
		return 1
	}
	branch, err := deployable(updates)
	if err != nil {
		return refuse(err, "git push towline main")
	}
	if err := checkRoom(updates); err != nil {
		var h hinted
		errors.As(err, &h)
		return refuse(err, h.hint)
	}
	if branch == nil {
		for _, u := range updates {
			fmt.Fprintf(os.Stderr, "-----> %.200s is a tag: nothing is deployed\n", u.ref)
		}
		fmt.Fprint(os.Stderr, "       A commit is deployed by its branch: git push towline NAME^{commit}:refs/heads/main\n")
		return 0
	}
	app, socket := os.Getenv("TOWLINE_APP"), os.Getenv("TOWLINE_SOCKET")
	if app == "" || socket == "" {
		return refuse(errors.New("this repository takes pushes over SSH only"), "git push ssh://towline@HOST/APP main")
	}
	if !branch.isTest() {
		unlock, err := alone(*branch)
		if err != nil {
			return refuse(err, "push again once it is through; `towline releases -a "+app+"` tells")
		}
		defer unlock()
	}
	if err := checkCommit(updates, *branch); err != nil {
		var h hinted
		errors.As(err, &h)
		return refuse(err, h.hint)
	}
	source, err := exportSource(branch.new)
	if err != nil {
		session.Complain(fmt.Errorf("export the commit: %w", err), "")
		return 1
	}
	defer source.stop()
	code, err := wire.Run(context.Background(), socket, wire.Request{
		Member: os.Getenv("TOWLINE_MEMBER"), Key: os.Getenv("TOWLINE_KEY"), Address: os.Getenv("TOWLINE_ADDRESS"), Internal: true,
		Args: []string{"git:push", "--app", app, "--ref", branch.ref, "--old", branch.old, "--new", branch.new, "--subject=" + subject(branch.new)},
	}, wire.Streams{Stdin: source, Stdout: deaf{os.Stderr}, Stderr: deaf{os.Stderr}})
	away := errors.Is(err, wire.ErrUnavailable) || err == nil && code == session.ExitUnavailable
	if away && source.whole.Load() && branch.isTest() {
		return refuse(errors.New("the daemon went away in the middle of the test run, which is errored"), "push again; towline ci -a "+app)
	}
	if away && source.whole.Load() {
		if err == nil {
			err = wire.ErrUnavailable
		}
		code, err = outcome(context.Background(), socket, app, branch.new, err)
	}
	if err != nil {
		return session.Report(err)
	}
	return code
}

// maxSubject bounds what is handed on of a commit's first line, in bytes.
const maxSubject = 1000

// subject is the first line of a commit's message; empty if git does not tell it.
func subject(commit string) string {
	out, err := exec.Command("git", "log", "-1", "--no-show-signature", "--encoding=UTF-8", "--format=%s", commit, "--").Output()
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(out[:min(len(out), maxSubject)])), "")
}

func readUpdates(r io.Reader) (updates []update, err error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.SplitN(s.Text(), " ", 3)
		if len(f) != 3 {
			return nil, fmt.Errorf("git says %q to the hook", s.Text())
		}
		updates = append(updates, update{f[0], f[1], f[2]})
	}
	return updates, s.Err()
}

// deployable is the one branch among updates, or nil where there are only tags.
func deployable(updates []update) (*update, error) {
	var branch *update
	for i, u := range updates {
		switch {
		case strings.Trim(u.new, "0") == "":
			return nil, fmt.Errorf("%s can't be deleted here", u.ref)
		case strings.HasPrefix(u.ref, "refs/tags/"):
		case !strings.HasPrefix(u.ref, "refs/heads/") && !u.isTest():
			return nil, fmt.Errorf("%s is neither a branch nor a tag", u.ref)
		case branch != nil:
			return nil, fmt.Errorf("one branch at a time: %s and %s were pushed together", branch.ref, u.ref)
		default:
			branch = &updates[i]
		}
	}
	return branch, nil
}

// alone sees to it that git will take the push if the daemon does: one push at a
// time, and from where the branch is now. Git itself checks only after the hook,
// when the commit would serve already.
func alone(u update) (unlock func(), err error) {
	dir, err := os.Open(".")
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		dir.Close()
		return nil, errors.New("another push is being deployed")
	}
	out, err := exec.Command("git", "rev-parse", "--quiet", "--verify", u.ref).Output()
	if ee := (*exec.ExitError)(nil); err != nil && !errors.As(err, &ee) {
		dir.Close()
		return nil, err
	}
	old := u.old
	if strings.Trim(old, "0") == "" {
		old = "" // there was no such branch
	}
	if strings.TrimSpace(string(out)) != old {
		dir.Close()
		return nil, fmt.Errorf("%s was pushed to meanwhile", u.ref)
	}
	return func() { dir.Close() }, nil
}

// source is the tar stream of a commit. It ends with io.EOF only if git exported
// all of it and the pusher is still there: with that end the deploy begins.
type source struct {
	io.Reader
	cmd   *exec.Cmd
	whole atomic.Bool // the daemon was sent its end
}

// exportSource starts to export. Attributes that leave files out of archives, or
// rewrite them, are for releases of a project: a deploy gets what a checkout has.
func exportSource(commit string) (*source, error) {
	if err := ignoreExportAttributes(); err != nil {
		return nil, err
	}
	cmd := exec.Command("git", "-c", "tar.umask=0022", "archive", "--format=tar", commit)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &source{Reader: out, cmd: cmd}, cmd.Start()
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		if failed := s.cmd.Wait(); failed != nil {
			err = fmt.Errorf("git archive: %w", failed)
		} else if !mayDeploy() {
			err = errors.New("the pusher has left")
		} else {
			s.whole.Store(true)
		}
	}
	return n, err
}

// stop ends an export that the daemon does not want. Who reads it may be in Read.
func (s *source) stop() { _ = s.cmd.Process.Kill() }

// ignoreExportAttributes writes the one attributes file that comes before those
// in the tree. The hook runs in the repository.
func ignoreExportAttributes() error {
	if err := os.Mkdir("info", 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	f, err := os.OpenFile("info/attributes", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString("* -export-ignore -export-subst\n")
	return errors.Join(err, f.Close())
}
