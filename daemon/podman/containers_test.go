package podman_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

func TestContainerLife(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	c := create(t, e, daemon.ContainerSpec{Init: true, Labels: map[string]string{"towline.app": "shop"}}, "sleep")
	got, err := e.Container(ctx, c)
	if err != nil || got.Running || got.Name != c || got.Labels["towline.app"] != "shop" || got.Labels["towline"] != run {
		t.Fatalf("created: %+v, %v", got, err)
	}
	for range 2 { // started already is no error
		if err := e.StartContainer(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	got, err = e.Container(ctx, c)
	if err != nil || !got.Running || got.Paused || time.Since(got.Started) > time.Minute {
		t.Fatalf("started: %+v, %v", got, err)
	}
	if err := e.PauseContainer(ctx, c); err != nil {
		t.Fatal(err)
	}
	if got, _ = e.Container(ctx, c); !got.Running || !got.Paused {
		t.Errorf("paused: %+v", got)
	}
	if err := e.UnpauseContainer(ctx, c); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := e.StopContainer(ctx, c, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	got, err = e.Container(ctx, c)
	if err != nil || got.Running || got.ExitCode != 143 || time.Since(got.Finished) > time.Minute {
		t.Errorf("stopped: %+v, %v", got, err)
	}
	for range 2 {
		if err := e.RemoveContainer(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err = e.Container(ctx, c); !errors.Is(err, daemon.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
}

func TestAbsentContainer(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	if err := e.StopContainer(ctx, run+"-none", time.Second); err != nil {
		t.Error(err)
	}
	_, waited := e.WaitContainer(ctx, run+"-none")
	_, attached := e.RunAttached(ctx, run+"-none", daemon.Streams{})
	_, executed := e.Exec(ctx, run+"-none", daemon.ExecSpec{Command: []string{"/probe"}}, daemon.Streams{})
	for what, err := range map[string]error{
		"wait": waited, "attach": attached, "exec": executed,
		"start":   e.StartContainer(ctx, run+"-none"),
		"kill":    e.KillContainer(ctx, run+"-none", "SIGTERM"),
		"pause":   e.PauseContainer(ctx, run+"-none"),
		"unpause": e.UnpauseContainer(ctx, run+"-none"),
		"log":     e.ContainerLog(ctx, run+"-none", false, nil, nil),
	} {
		if !errors.Is(err, daemon.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := e.CreateContainer(ctx, daemon.ContainerSpec{Name: name(t, e), Image: "localhost/none:1"}); !errors.Is(err, daemon.ErrNotFound) {
		t.Errorf("create from an absent image: %v", err)
	}
}

func TestNameTaken(t *testing.T) {
	e := newEngine(t)
	c := create(t, e, daemon.ContainerSpec{})
	err := e.CreateContainer(t.Context(), daemon.ContainerSpec{Name: c, Image: testImage, Env: map[string]string{"SECRET": "s3cr3t"}})
	if !errors.Is(err, daemon.ErrExists) || strings.Contains(err.Error(), "s3cr3t") {
		t.Error(err)
	}
}

func TestStopIsPrompt(t *testing.T) {
	e := newEngine(t)
	c := create(t, e, daemon.ContainerSpec{Init: true}, "sleep")
	if err := e.StartContainer(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	if err := e.StopContainer(t.Context(), c, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(since); took > 8*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestStopKillsAfterGrace(t *testing.T) {
	e := newEngine(t)
	for _, paused := range []bool{false, true} {
		c := create(t, e, daemon.ContainerSpec{}, "ignore", "sleep")
		if err := e.StartContainer(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		awaitLog(t, e, c, "ready")
		if paused {
			if err := e.PauseContainer(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		since := time.Now()
		if err := e.StopContainer(t.Context(), c, 300*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(since); took < 300*time.Millisecond || took > 10*time.Second {
			t.Errorf("took %s", took)
		}
		if got, err := e.Container(t.Context(), c); err != nil || got.Running || got.ExitCode != 137 {
			t.Errorf("stopped: %+v, %v", got, err)
		}
	}
}

func TestRemoveKillsWhatRuns(t *testing.T) {
	e := newEngine(t)
	for _, paused := range []bool{false, true} {
		c := create(t, e, daemon.ContainerSpec{}, "ignore", "sleep")
		if err := e.StartContainer(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if paused {
			if err := e.PauseContainer(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.RemoveContainer(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWaitObservesExitAtOnce(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	c := create(t, e, daemon.ContainerSpec{}, "nap", "400ms", "exit", "5")
	if _, err := e.WaitContainer(ctx, c); err == nil {
		t.Error("waited for a container that was not started")
	}
	if err := e.StartContainer(ctx, c); err != nil {
		t.Fatal(err)
	}
	code, err := e.WaitContainer(ctx, c)
	seen := time.Now()
	if err != nil || code != 5 {
		t.Fatalf("code %d, %v", code, err)
	}
	got, err := e.Container(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seen %s after the exit", seen.Sub(got.Finished))
	if code, err := e.WaitContainer(ctx, c); err != nil || code != 5 { // of a stopped one
		t.Errorf("code %d, %v", code, err)
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	e := newEngine(t)
	c := create(t, e, daemon.ContainerSpec{Init: true}, "sleep")
	if err := e.StartContainer(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	since := time.Now()
	if _, err := e.WaitContainer(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(since); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestListIsOfThisInstallation(t *testing.T) {
	e := newEngine(t)
	a := create(t, e, daemon.ContainerSpec{Labels: map[string]string{"towline.app": "a", "towline.process": "web"}})
	b := create(t, e, daemon.ContainerSpec{Labels: map[string]string{"towline.app": "b", "towline.process": "web"}})
	list, err := e.ContainerList(t.Context(), map[string]string{"towline.app": "a", "towline.process": "web"})
	if err != nil || len(list) != 1 || list[0].Name != a || list[0].Running {
		t.Errorf("got %+v, %v", list, err)
	}
	list, err = e.ContainerList(t.Context(), map[string]string{"towline.process": "web"})
	if err != nil || len(list) != 2 {
		t.Errorf("got %+v, %v; want %s and %s", list, err, a, b)
	}
	if _, _, code := output(t, e, b); code != 0 {
		t.Errorf("code %d", code)
	}
	list, err = e.ContainerList(t.Context(), map[string]string{"towline.app": "b"})
	if err != nil || len(list) != 1 || list[0].Started.IsZero() || list[0].Finished.IsZero() {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestLogAtPath(t *testing.T) {
	e := newEngine(t)
	path := filepath.Join(t.TempDir(), "web.1.log")
	c := create(t, e, daemon.ContainerSpec{LogPath: path, LogSize: 1 << 20}, "out", "one\n", "err", "two\n", "nap", "300ms", "out", "three\n")
	if err := e.StartContainer(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	if err := e.ContainerLog(t.Context(), c, true, &out, &errs); err != nil {
		t.Fatal(err)
	}
	if out.String() != "one\nthree\n" || errs.String() != "two\n" {
		t.Errorf("log: %q, %q", out.String(), errs.String())
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), " stdout F one\n") {
		t.Errorf("file: %q, %v", data, err)
	}
}

func TestLogOfTerminal(t *testing.T) {
	e := newEngine(t)
	c := create(t, e, daemon.ContainerSpec{Terminal: true}, "out", "one\n", "err", "two\nthree")
	if code, err := e.RunAttached(t.Context(), c, daemon.Streams{Terminal: true}); err != nil || code != 0 {
		t.Fatal(code, err)
	}
	var out strings.Builder
	if err := e.ContainerLog(t.Context(), c, false, &out, &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(out.String(), "\r", ""); strings.TrimSuffix(got, "\n") != "one\ntwo\nthree" {
		t.Errorf("%q", out.String())
	}
}
