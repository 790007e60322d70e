package podman_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/podman"
)

// awaitLog follows a container's log until it has text.
func awaitLog(t *testing.T, e *podman.Engine, container, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		var out bytes.Buffer
		if err := e.ContainerLog(ctx, container, false, &out, nil); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), text) {
			return
		}
	}
}

func started(t *testing.T, e *podman.Engine, spec daemon.ContainerSpec, verbs ...string) string {
	t.Helper()
	c := create(t, e, spec, verbs...)
	if err := e.StartContainer(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExec(t *testing.T) {
	e := newEngine(t)
	c := started(t, e, daemon.ContainerSpec{Init: true}, "sleep")
	for range 5 { // the code of a short command, every time
		var out, errs bytes.Buffer
		spec := daemon.ExecSpec{
			Command: []string{"/probe", "env", "WHO", "status", "Uid", "err", "oops", "exit", "42"},
			Env:     map[string]string{"WHO": "me=you"},
			User:    "root",
		}
		code, err := e.Exec(t.Context(), c, spec, daemon.Streams{Stdout: &out, Stderr: &errs})
		if err != nil || code != 42 || out.String() != "me=you\n0\t0\t0\t0" || errs.String() != "oops" {
			t.Errorf("code %d, %q, %q, %v", code, out.String(), errs.String(), err)
		}
	}
	code, err := e.Exec(t.Context(), c, daemon.ExecSpec{Command: []string{"nosuch"}}, daemon.Streams{})
	if err == nil && code != 127 {
		t.Errorf("absent command: code %d", code)
	}
	t.Logf("absent command: code %d, %v", code, err)
}

func TestExecPassesStdinToItsEnd(t *testing.T) {
	e := newEngine(t)
	c := started(t, e, daemon.ContainerSpec{Init: true}, "sleep")
	input := strings.Repeat("\x10\x11\x1e\x1f\x00binary\n", 100_000)
	var out bytes.Buffer
	code, err := e.Exec(t.Context(), c, daemon.ExecSpec{Command: []string{"/probe", "cat", "out", "END"}},
		daemon.Streams{Stdin: strings.NewReader(input), Stdout: &out})
	if err != nil || code != 0 || out.String() != input+"END" {
		t.Errorf("got %d bytes of %d, code %d, error %v", out.Len(), len(input)+3, code, err)
	}
}

// terminal runs something with a terminal and changes its size as it goes.
func terminal(t *testing.T, run func(daemon.Streams) (int, error)) {
	t.Helper()
	before := runtime.NumGoroutine()
	stdin, typed := io.Pipe()
	screen, stdout := io.Pipe()
	resize := make(chan daemon.Size)
	type result struct {
		code int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		code, err := run(daemon.Streams{Stdin: stdin, Stdout: stdout, Terminal: true, Size: daemon.Size{Rows: 33, Cols: 111}, Resize: resize})
		stdout.Close()
		done <- result{code, err}
	}()
	lines := bufio.NewScanner(screen)
	read := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
			t.Logf("screen: %q", lines.Text())
		}
		t.Fatalf("never saw %q: %+v", want, <-done)
	}
	read("33x111")
	resize <- daemon.Size{Rows: 44, Cols: 122}
	read("44x122")
	_, _ = typed.Write([]byte("\n"))
	go func() { _, _ = io.Copy(io.Discard, screen) }()
	if r := <-done; r.code != 0 || r.err != nil {
		t.Errorf("%+v", r)
	}
	typed.Close()
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before+6; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		}
	}
}

func TestExecTerminal(t *testing.T) {
	e := newEngine(t)
	c := started(t, e, daemon.ContainerSpec{Init: true}, "sleep")
	terminal(t, func(s daemon.Streams) (int, error) {
		return e.Exec(t.Context(), c, daemon.ExecSpec{Command: []string{"/probe", "size"}}, s)
	})
}

func TestRunAttachedTerminal(t *testing.T) {
	e := newEngine(t)
	c := create(t, e, daemon.ContainerSpec{Init: true, Terminal: true, Stdin: true}, "size")
	terminal(t, func(s daemon.Streams) (int, error) { return e.RunAttached(t.Context(), c, s) })
}

func TestContextEndsAttachmentAlone(t *testing.T) {
	e := newEngine(t)
	c := create(t, e, daemon.ContainerSpec{Init: true, Stdin: true}, "out", "up\n", "sleep")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	screen, stdout := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := e.RunAttached(ctx, c, daemon.Streams{Stdin: screen, Stdout: stdout})
		done <- err
	}()
	var b [3]byte
	if _, err := io.ReadFull(screen, b[:]); err != nil {
		t.Fatal(err)
	}
	cancel()
	since := time.Now()
	if err := <-done; err == nil || time.Since(since) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(since), err)
	}
	if got, err := e.Container(t.Context(), c); err != nil || !got.Running {
		t.Errorf("%+v, %v", got, err)
	}
}
