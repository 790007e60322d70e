package memory

import (
	"context"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"towline/daemon"
)

// Program is what runs in place of a container's program, or of a command in it. It returns
// the exit code. One that does not end when it is killed is left to itself, so it must.
type Program func(Process) int

// Process is what a program knows of itself.
type Process struct {
	Container string
	Labels    map[string]string
	Command   bool // it runs in a container that is there, by Exec
	Args      []string
	Env       map[string]string
	Mounts    map[string]string // directories on the host, by where they are mounted

	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Terminated     <-chan struct{} // closed by SIGTERM
	Killed         <-chan struct{} // closed by SIGKILL, and when the container ends
}

// The exit codes of processes that a signal ends.
const (
	killed     = 137
	Terminated = 143
)

// process is the first one of a container that runs.
type process struct {
	terminated, killed chan struct{}
	terminate          func()
}

type output struct {
	stderr bool
	text   string
}

// start starts a container's program. broken is told if its input breaks off. The lock is
// held, and it does not run.
func (e *containerEngine) start(c *container, s daemon.Streams, broken context.CancelCauseFunc) {
	p := &process{terminated: make(chan struct{}), killed: make(chan struct{})}
	p.terminate = sync.OnceFunc(func() { close(p.terminated) })
	c.process = p
	c.info.Running, c.info.ExitCode, c.info.Started, c.info.Finished = true, 0, time.Now(), time.Time{}
	for n := range c.networks {
		c.info.Addresses[n] = e.address()
	}
	if s.Terminal {
		s.Stderr = s.Stdout
	}
	started := Process{
		Container: c.info.Name, Labels: c.info.Labels, Args: c.args, Env: c.spec.Env, Mounts: e.mounts(c),
		Stdin: input(s.Stdin, p.killed, broken), Stdout: &logger{e.state, c, s.Stdout, false}, Stderr: &logger{e.state, c, s.Stderr, true},
		Terminated: p.terminated, Killed: p.killed,
	}
	e.tell(daemon.Event{Container: c.info.Name, Labels: c.info.Labels})
	e.touch()
	if e.closed {
		e.kill(c, killed)
		return
	}
	e.running.Go(func() {
		code := e.program(started)
		_ = e.await(context.Background(), func() bool { return !c.info.Paused || c.process != p })
		e.mu.Lock()
		defer e.mu.Unlock()
		if c.process == p {
			e.kill(c, code)
		}
	})
}

func (e *containerEngine) mounts(c *container) map[string]string {
	dirs := map[string]string{}
	for _, m := range c.spec.Mounts {
		if dirs[m.Target] = m.Source; m.Volume != "" {
			dirs[m.Target] = e.volumePath(m.Volume)
		}
	}
	return dirs
}

// kill ends a container that may run, with that exit code. The lock is held.
func (e *containerEngine) kill(c *container, code int) {
	if c.process == nil {
		return
	}
	close(c.process.killed)
	c.process = nil
	c.info.Running, c.info.Paused, c.info.ExitCode, c.info.Finished = false, false, code, time.Now()
	clear(c.info.Addresses)
	e.tell(daemon.Event{Container: c.info.Name, Labels: c.info.Labels, Died: true, ExitCode: code})
	e.touch()
}

// logger writes to a container's log, and to whoever is attached.
type logger struct {
	s        *state
	c        *container
	attached io.Writer // may be nil
	stderr   bool
}

func (l *logger) Write(b []byte) (int, error) {
	l.s.mu.Lock()
	if !l.c.spec.NoLog {
		l.c.log = append(l.c.log, output{l.stderr, string(b)})
		l.s.touch()
	}
	l.s.mu.Unlock()
	if l.attached != nil {
		return l.attached.Write(b)
	}
	return len(b), nil
}

// RunAttached implements daemon.Containers.
func (e *containerEngine) RunAttached(ctx context.Context, name string, s daemon.Streams) (int, error) {
	what := "streams of container " + name
	if err := over(ctx, what); err != nil {
		return 0, err
	}
	running, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	e.mu.Lock()
	c := e.containers[name]
	if c == nil {
		e.mu.Unlock()
		return 0, notFound("container", name)
	}
	s.Terminal = c.spec.Terminal
	if !c.info.Running {
		e.start(c, s, broken)
	}
	e.mu.Unlock()
	code, err := e.WaitContainer(running, name)
	if err != nil && running.Err() != nil && ctx.Err() == nil {
		return 0, context.Cause(running)
	}
	return code, err
}

// Exec implements daemon.Containers. A container that does not run, or is paused, is a
// conflict.
func (e *containerEngine) Exec(ctx context.Context, name string, spec daemon.ExecSpec, s daemon.Streams) (int, error) {
	what := "exec in container " + name
	if err := over(ctx, what); err != nil {
		return 0, err
	}
	running, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	e.mu.Lock()
	c := e.containers[name]
	if c == nil {
		e.mu.Unlock()
		return 0, notFound("container", name)
	}
	if !c.info.Running || c.info.Paused {
		e.mu.Unlock()
		return 0, daemon.Errorf(daemon.Conflict, "%s: it does not run", what)
	}
	p := Process{
		Container: name, Labels: c.info.Labels, Command: true, Args: spec.Command, Env: maps.Clone(c.spec.Env), Mounts: e.mounts(c),
		Stdin: input(s.Stdin, c.process.killed, broken), Stdout: writer(s.Stdout), Stderr: writer(s.Stderr), Killed: c.process.killed,
	}
	e.mu.Unlock()
	if p.Env == nil {
		p.Env = map[string]string{}
	}
	maps.Copy(p.Env, spec.Env)
	if s.Terminal {
		p.Stderr = p.Stdout
	}
	ended := make(chan int, 1)
	e.running.Go(func() { ended <- e.program(p) })
	select {
	case code := <-ended:
		return code, nil
	case <-p.Killed:
		return killed, nil
	case <-running.Done():
		if ctx.Err() == nil {
			return 0, context.Cause(running)
		}
		return 0, over(ctx, what)
	}
}

func writer(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// input is what a process reads until it is killed: where the input breaks off with an
// error, the process gets no end of it, and the call ends.
func input(r io.Reader, killed <-chan struct{}, broken context.CancelCauseFunc) io.Reader {
	if r == nil {
		return strings.NewReader("")
	}
	return reader(func(b []byte) (int, error) {
		n, err := r.Read(b)
		if err != nil && err != io.EOF {
			broken(err)
			<-killed
		}
		return n, err
	})
}

type reader func([]byte) (int, error)

func (r reader) Read(b []byte) (int, error) { return r(b) }
