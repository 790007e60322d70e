package podman_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"towline/daemon"
	"towline/daemon/podman"
)

// service is a Podman service of the test's own, on the storage of all.
type service struct {
	t    *testing.T
	path string
	cmd  *exec.Cmd
}

func newService(t *testing.T) (*service, *podman.Engine) {
	t.Helper()
	newEngine(t) // the image
	s := &service{t: t, path: filepath.Join(t.TempDir(), "podman.sock")}
	s.start()
	t.Cleanup(s.kill)
	e, err := podman.New(t.Context(), podman.Options{Address: "unix://" + s.path, Name: run})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := e.Ping(t.Context()); err == nil {
			return s, e
		}
		if time.Now().After(deadline) {
			t.Fatal("the service does not come up")
		}
	}
}

func (s *service) start() {
	s.t.Helper()
	_ = os.Remove(s.path)
	s.cmd = exec.Command("podman", "system", "service", "--time=0", "unix://"+s.path)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// TestPodmanIsKilledDuringExec: a command whose service is killed, and comes back, has an
// end that nobody knows.
func TestPodmanIsKilledDuringExec(t *testing.T) {
	s, e := newService(t)
	c := started(t, e, daemon.ContainerSpec{Init: true}, "sleep")
	_, err := s.killDuring(func(out io.Writer) (int, error) {
		return e.Exec(t.Context(), c, daemon.ExecSpec{Command: []string{"/probe", "out", "go", "sleep"}}, daemon.Streams{Stdout: out})
	})
	wantUnknown(t, err)
}

// A container goes on without Podman's service, but what it says is lost: that must not
// pass for all that it said.
func TestPodmanIsKilledDuringRun(t *testing.T) {
	s, e := newService(t)
	c := create(t, e, daemon.ContainerSpec{Init: true}, "out", "go", "sleep")
	_, err := s.killDuring(func(out io.Writer) (int, error) { return e.RunAttached(t.Context(), c, daemon.Streams{Stdout: out}) })
	wantUnknown(t, err)
}

// killDuring kills the service, and starts it again, once the call has said "go".
func (s *service) killDuring(call func(out io.Writer) (int, error)) (code int, err error) {
	s.t.Helper()
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		code, err = call(w)
	}()
	if _, err := io.ReadFull(r, make([]byte, 2)); err != nil {
		s.t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	s.kill()
	s.start()
	select {
	case <-done:
	case <-time.After(3 * time.Minute):
		s.t.Fatal("the call does not return")
	}
	return code, err
}

func wantUnknown(t *testing.T, err error) {
	t.Helper()
	var e *daemon.Error
	if !errors.As(err, &e) || e.Kind != daemon.Unavailable {
		t.Errorf("got %v, want an end that is unknown", err)
	}
}

// A process may close its outputs long before it ends.
func TestOutputsClosedBeforeTheEnd(t *testing.T) {
	e := newEngine(t)
	c := started(t, e, daemon.ContainerSpec{Init: true}, "sleep")
	for _, terminal := range []bool{false, true} {
		streams := daemon.Streams{Terminal: terminal}
		code, err := e.Exec(t.Context(), c, daemon.ExecSpec{Command: []string{"/probe", "hush", "nap", "1s", "exit", "4"}}, streams)
		if code != 4 || err != nil {
			t.Errorf("exec, terminal %v: code %d, %v", terminal, code, err)
		}
		attached := create(t, e, daemon.ContainerSpec{Init: true, Terminal: terminal}, "hush", "nap", "1s", "exit", "5")
		if code, err = e.RunAttached(t.Context(), attached, streams); code != 5 || err != nil {
			t.Errorf("run, terminal %v: code %d, %v", terminal, code, err)
		}
	}
}

// broken is input that breaks off after its first bytes.
func broken() io.Reader {
	return io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("the client hung up")))
}

// Input that broke off is no input that ended, and ends the call.
func TestInputBreaksOff(t *testing.T) {
	e := newEngine(t)
	c := started(t, e, daemon.ContainerSpec{Init: true}, "sleep")
	attached := create(t, e, daemon.ContainerSpec{Init: true, Stdin: true}, "cat", "out", "END")
	for what, call := range map[string]func(context.Context, daemon.Streams) (int, error){
		"exec": func(ctx context.Context, s daemon.Streams) (int, error) {
			return e.Exec(ctx, c, daemon.ExecSpec{Command: []string{"/probe", "cat", "out", "END"}}, s)
		},
		"run": func(ctx context.Context, s daemon.Streams) (int, error) { return e.RunAttached(ctx, attached, s) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var out bytes.Buffer
		_, err := call(ctx, daemon.Streams{Stdin: broken(), Stdout: &out})
		cancel()
		if err == nil || !strings.Contains(err.Error(), "the client hung up") || strings.Contains(out.String(), "END") {
			t.Errorf("%s: got %v, output %q", what, err, out.String())
		}
	}
}

// The end of the caller's context is not taken for input that broke off, though it ends
// the input too.
func TestInterruptIsNoBrokenInput(t *testing.T) {
	e := newEngine(t)
	c := started(t, e, daemon.ContainerSpec{Init: true}, "sleep")
	for range 3 {
		attached := create(t, e, daemon.ContainerSpec{Init: true, Stdin: true}, "out", "go", "sleep")
		for what, call := range map[string]func(context.Context, daemon.Streams) (int, error){
			"exec": func(ctx context.Context, s daemon.Streams) (int, error) {
				return e.Exec(ctx, c, daemon.ExecSpec{Command: []string{"/probe", "out", "go", "sleep"}}, s)
			},
			"run": func(ctx context.Context, s daemon.Streams) (int, error) { return e.RunAttached(ctx, attached, s) },
		} {
			ctx, cancel := context.WithCancel(t.Context())
			stdin, end := io.Pipe()
			context.AfterFunc(ctx, func() { end.CloseWithError(errors.New("interrupted")) })
			screen, stdout := io.Pipe()
			go func() { _, _ = io.ReadFull(screen, make([]byte, 2)); cancel() }()
			if _, err := call(ctx, daemon.Streams{Stdin: stdin, Stdout: stdout}); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: got %v", what, err)
			}
			cancel()
		}
	}
}
