package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"towline/cmd/internal/session"
)

const (
	receiveTimeout = time.Hour        // from the start of a push or a fetch; a deploy that has begun is not in it
	killGrace      = 10 * time.Second // for git to remove what it received
	hookEnv        = "TOWLINE_PUSHER" // is there when a supervisor is
	hookFile       = 3                // the hook's end of a connection to it
)

// supervisor runs git's end of a push or a fetch. While git and the hook work on
// what the member sent, they end when the member hangs up. Once a deploy has begun
// nothing disturbs them: git then moves the branch to what serves, whether anybody
// listens or not.
type supervisor struct {
	cmd      *exec.Cmd
	ask      *os.File // the hook asks here whether a deploy may begin
	received atomic.Int64
	timeout  time.Duration
}

// superviseGit runs git to its end and returns its exit code. env is its whole
// environment.
func (o options) superviseGit(git string, args, env []string) (int, error) {
	if err := limitResources(o.maxMemory); err != nil {
		return 1, fmt.Errorf("limits: %w", err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 1, err
	}
	theirs := os.NewFile(uintptr(pair[1]), "hook")
	defer theirs.Close()
	s := &supervisor{cmd: exec.Command(git, args...), ask: os.NewFile(uintptr(pair[0]), "supervisor"), timeout: receiveTimeout}
	defer s.ask.Close()
	s.cmd.Env = append(env, hookEnv+"="+strconv.Itoa(hookFile))
	s.cmd.ExtraFiles = []*os.File{theirs}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.Stdout, s.cmd.Stderr = deaf{os.Stdout}, deaf{os.Stderr}
	s.cmd.WaitDelay = killGrace // of a repack that git leaves behind
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return 1, err
	}

	// With somebody to tell of SIGPIPE, a write to who has left is an error and no
	// signal; git inherits none of it.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if err := s.cmd.Start(); err != nil {
		return 1, err
	}
	theirs.Close()
	go func() {
		_, _ = io.Copy(stdin, &countReader{os.Stdin, &s.received})
		stdin.Close()
	}()
	code, err := s.wait(signals)
	if args[0] == "receive-pack" && code != 0 && s.received.Load() == 0 {
		// A git whose repository uses SHA-256 stumbles over what this end says first,
		// and its user is told of a protocol error. Its ssh reads no output any more,
		// but still shows what is said here.
		err = nil
		session.Complain(errors.New("your git sent nothing; a repository that names its objects by SHA-256 can't be pushed here"),
			"git rev-parse --show-object-format tells; deploy without a push: git archive HEAD | ssh towline@HOST deploy:archive -a APP")
	}
	return code, err
}

// wait returns git's exit code, or ends git when its time is over or the member is
// gone.
func (s *supervisor) wait(signals <-chan os.Signal) (int, error) {
	gone, ended, asked := make(chan struct{}), make(chan error, 1), make(chan struct{}, 1)
	go func() { session.WaitReaderGone(1); close(gone) }()
	go func() { ended <- s.cmd.Wait() }()
	go func() {
		if n, _ := s.ask.Read(make([]byte, 1)); n == 1 {
			asked <- struct{}{}
		}
	}()
	deadline := time.After(s.timeout)
	var kill <-chan time.Time
	var why error
	for {
		select {
		case err := <-ended:
			if why != nil {
				return 1, why
			}
			return exitCode(err)
		case <-asked:
			if kill == nil {
				_, _ = s.ask.Write([]byte("y"))
				gone, signals, deadline = nil, nil, nil
			}
			continue
		case <-kill:
			_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
			continue
		case <-gone:
			why = errors.New("the connection was closed")
		case sig := <-signals:
			why = fmt.Errorf("ended by a signal: %v", sig)
		case <-deadline:
			why = fmt.Errorf("this took longer than %s", s.timeout)
		}
		gone, signals, deadline = nil, nil, nil
		kill = time.After(killGrace)
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	}
}

func exitCode(err error) (int, error) {
	var exited *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return 0, nil
	case !errors.As(err, &exited):
		return 1, err
	case exited.ExitCode() < 0:
		return 128 + int(exited.Sys().(syscall.WaitStatus).Signal()), nil
	}
	return exited.ExitCode(), nil
}

// mayDeploy is asked by the hook when it has read the whole source. After a yes the
// push goes on to its end, whoever hangs up.
func mayDeploy() bool {
	if os.Getenv(hookEnv) == "" {
		return true // nobody supervises: the hook was not started by a push over SSH
	}
	supervisor := os.NewFile(hookFile, "supervisor")
	if _, err := supervisor.Write([]byte("?")); err != nil {
		return false
	}
	n, _ := supervisor.Read(make([]byte, 1))
	return n == 1
}

// deaf writes to a pusher who may have left; the deploy goes on all the same.
type deaf struct{ w io.Writer }

func (d deaf) Write(p []byte) (int, error) {
	_, _ = d.w.Write(p)
	return len(p), nil
}

type countReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
