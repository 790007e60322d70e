package contract

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

// patience bounds a wait for what must happen.
const patience = time.Minute

// Bench is an engine with what its tests need.
type Bench struct {
	daemon.Engine
	Name string // of the installation
	// Image has a program as its entry point, called /probe, which does what its arguments
	// say one after the other: out TEXT, err TEXT, exit CODE, sleep (until a signal ends it),
	// nap DURATION, ignore (SIGTERM, and say so by "ready"), cat, env NAME.
	Image string
	// NewImage makes an image of its own, with that name.
	NewImage func(t *testing.T, ref string) daemon.Image
}

// Engine is the suite of daemon.Engine. Everything that it makes is named after the
// installation, and gone at the end.
func Engine(t *testing.T, b Bench) {
	for name, test := range map[string]func(*testing.T, Bench){
		"ping": ping, "life": life, "absent": absent, "name taken": nameTaken, "list": list, "pause": pause,
		"stop": stop, "kill": kill, "exit codes": exitCodes, "wait": wait, "log": containerLog, "attached": attached, "exec": exec,
		"networks": networks, "volumes": volumes, "images": images, "events": events, "ended context": endedContext,
	} {
		t.Run(name, func(t *testing.T) { test(t, b) })
	}
}

func (b Bench) name() string { return b.Name + "-" + strings.ToLower(rand.Text()[:8]) }

// create makes a container that runs the program's verbs, and removes it at the end.
func (b Bench) create(t *testing.T, spec daemon.ContainerSpec, verbs ...string) string {
	t.Helper()
	spec.Name, spec.Command = b.name(), verbs
	if spec.Image == "" {
		spec.Image = b.Image
	}
	if err := b.CreateContainer(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.RemoveContainer(context.Background(), spec.Name); err != nil {
			t.Error(err)
		}
	})
	return spec.Name
}

func (b Bench) started(t *testing.T, spec daemon.ContainerSpec, verbs ...string) string {
	t.Helper()
	spec.Init = true
	c := b.create(t, spec, verbs...)
	must(t, b.StartContainer(t.Context(), c))
	return c
}

// says waits until a container's log holds text.
func (b Bench) says(t *testing.T, container, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var out strings.Builder
		must(t, b.ContainerLog(t.Context(), container, false, &out, nil))
		if strings.Contains(out.String(), text) {
			return
		}
	}
	t.Fatalf("it never said %q", text)
}

func (b Bench) state(t *testing.T, container string) daemon.Container {
	t.Helper()
	c, err := b.Container(t.Context(), container)
	must(t, err)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// is fails unless err is of that kind.
func is(t *testing.T, what string, err error, kind daemon.Kind) {
	t.Helper()
	var e *daemon.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Errorf("%s: got %#v, %v; want one of kind %q", what, err, err, kind)
	}
}

func ping(t *testing.T, b Bench) {
	if version, err := b.Ping(t.Context()); err != nil || version == "" {
		t.Errorf("got %q, %v", version, err)
	}
}

func life(t *testing.T, b Bench) {
	ctx := t.Context()
	c := b.create(t, daemon.ContainerSpec{Init: true, Labels: map[string]string{"towline.app": "shop"}}, "sleep")
	image, err := b.Engine.Image(ctx, b.Image)
	must(t, err)
	got := b.state(t, c)
	if got.Running || got.Paused || got.Name != c || got.ID == "" || got.Image != image.ID || !got.Started.After(got.Finished) && !got.Started.IsZero() ||
		got.Labels["towline.app"] != "shop" || got.Labels["towline"] != b.Name || time.Since(got.Created) > patience {
		t.Errorf("created: %+v", got)
	}
	for range 2 { // started already is no error
		must(t, b.StartContainer(ctx, c))
	}
	if got = b.state(t, c); !got.Running || got.Paused || time.Since(got.Started) > patience {
		t.Errorf("started: %+v", got)
	}
	first := got.Started
	for range 2 { // nor is stopped already
		must(t, b.StopContainer(ctx, c, 10*time.Second))
	}
	if got = b.state(t, c); got.Running || got.ExitCode != 143 || got.Finished.Before(first) || len(got.Addresses) > 0 {
		t.Errorf("stopped: %+v", got)
	}
	must(t, b.StartContainer(ctx, c)) // once more
	if got = b.state(t, c); !got.Running || got.ExitCode != 0 || !got.Started.After(first) {
		t.Errorf("started again: %+v", got)
	}
	for range 2 { // what runs is killed, and absent is no error
		must(t, b.RemoveContainer(ctx, c))
	}
	_, err = b.Container(ctx, c)
	is(t, "removed", err, daemon.NotFound)
}

func absent(t *testing.T, b Bench) {
	ctx, none := t.Context(), b.name()
	must(t, b.StopContainer(ctx, none, time.Second))
	must(t, b.RemoveContainer(ctx, none))
	_, inspected := b.Container(ctx, none)
	_, waited := b.WaitContainer(ctx, none)
	_, attached := b.RunAttached(ctx, none, daemon.Streams{})
	_, executed := b.Exec(ctx, none, daemon.ExecSpec{Command: []string{"/probe"}}, daemon.Streams{})
	for what, err := range map[string]error{
		"container": inspected, "wait": waited, "attach": attached, "exec": executed,
		"start": b.StartContainer(ctx, none), "kill": b.KillContainer(ctx, none, "SIGTERM"),
		"pause": b.PauseContainer(ctx, none), "unpause": b.UnpauseContainer(ctx, none),
		"log": b.ContainerLog(ctx, none, false, nil, nil), "followed log": b.ContainerLog(ctx, none, true, nil, nil),
		"create of an absent image": b.CreateContainer(ctx, daemon.ContainerSpec{Name: none, Image: "localhost/none:1"}),
	} {
		is(t, what, err, daemon.NotFound)
	}
	err := b.CreateContainer(ctx, daemon.ContainerSpec{Name: none, Image: b.Image, Networks: []daemon.Attachment{{Network: none}}})
	if err == nil {
		t.Error("made a container in a network that is not there")
	}
	_, err = b.Container(ctx, none)
	is(t, "a container whose creation failed", err, daemon.NotFound)
}

func nameTaken(t *testing.T, b Bench) {
	c := b.create(t, daemon.ContainerSpec{Labels: map[string]string{"towline.app": "first"}}, "sleep")
	is(t, "create", b.CreateContainer(t.Context(), daemon.ContainerSpec{Name: c, Image: b.Image}), daemon.Exists)
	if got := b.state(t, c); got.Labels["towline.app"] != "first" {
		t.Errorf("the first is %+v", got)
	}
}

func list(t *testing.T, b Bench) {
	ctx, mark := t.Context(), b.name()
	a := b.create(t, daemon.ContainerSpec{Labels: map[string]string{"towline.app": "a", "mark": mark}}, "sleep")
	c := b.started(t, daemon.ContainerSpec{Labels: map[string]string{"towline.app": "c", "mark": mark, "empty": ""}}, "exit", "3")
	_, err := b.WaitContainer(ctx, c)
	must(t, err)
	for _, want := range []struct {
		labels map[string]string
		names  []string
	}{
		{map[string]string{"mark": mark}, []string{a, c}},
		{map[string]string{"mark": mark, "towline.app": "a"}, []string{a}},
		{map[string]string{"mark": mark, "towline.app": "x"}, nil},
		{map[string]string{"mark": mark + "x"}, nil},
		{nil, []string{a, c}},
	} {
		found, err := b.ContainerList(ctx, want.labels)
		must(t, err)
		names := map[string]daemon.Container{}
		for _, c := range found {
			names[c.Name] = c
		}
		for _, name := range want.names {
			if names[name].Labels["mark"] != mark {
				t.Errorf("%v: %s is not listed, or without its labels: %+v", want.labels, name, names[name])
			}
		}
		if want.labels != nil && len(found) != len(want.names) {
			t.Errorf("%v: got %+v", want.labels, found)
		}
		if got := names[c]; len(want.names) == 2 && (got.Running || got.ExitCode != 3 || got.Started.IsZero() || got.Finished.IsZero()) {
			t.Errorf("what has ended is listed as %+v", got)
		}
		if got := names[a]; len(want.names) == 2 && (got.Running || !got.Started.IsZero()) {
			t.Errorf("what was not started is listed as %+v", got)
		}
	}
}

func pause(t *testing.T, b Bench) {
	ctx := t.Context()
	c := b.started(t, daemon.ContainerSpec{}, "sleep")
	is(t, "unpause of what runs", b.UnpauseContainer(ctx, c), daemon.Conflict)
	must(t, b.PauseContainer(ctx, c))
	if got := b.state(t, c); !got.Running || !got.Paused {
		t.Errorf("paused: %+v", got)
	}
	if listed, err := b.ContainerList(ctx, nil); err != nil {
		t.Error(err)
	} else {
		for _, l := range listed {
			if l.Name == c && (!l.Running || !l.Paused) {
				t.Errorf("paused, and listed as %+v", l)
			}
		}
	}
	if err := b.PauseContainer(ctx, c); err == nil {
		t.Error("paused twice")
	}
	if _, err := b.Exec(ctx, c, daemon.ExecSpec{Command: []string{"/probe"}}, daemon.Streams{}); err == nil {
		t.Error("ran a command in a paused container")
	}
	must(t, b.UnpauseContainer(ctx, c))
	if got := b.state(t, c); !got.Running || got.Paused {
		t.Errorf("unpaused: %+v", got)
	}
	must(t, b.PauseContainer(ctx, c))
	must(t, b.StopContainer(ctx, c, 10*time.Second)) // wakes it for that
	if got := b.state(t, c); got.Running || got.Paused || got.ExitCode != 143 {
		t.Errorf("stopped while paused: %+v", got)
	}
	if err := b.PauseContainer(ctx, c); err == nil {
		t.Error("paused what does not run")
	}
	must(t, b.StartContainer(ctx, c))
	must(t, b.PauseContainer(ctx, c))
	must(t, b.RemoveContainer(ctx, c))
}

func stop(t *testing.T, b Bench) {
	c := b.started(t, daemon.ContainerSpec{}, "ignore", "sleep")
	b.says(t, c, "ready")
	since := time.Now()
	must(t, b.StopContainer(t.Context(), c, 300*time.Millisecond))
	if got, took := b.state(t, c), time.Since(since); got.Running || got.ExitCode != 137 || took < 300*time.Millisecond || took > 10*time.Second {
		t.Errorf("killed after its grace of 300ms, in %s: %+v", took, got)
	}
}

func kill(t *testing.T, b Bench) {
	c := b.started(t, daemon.ContainerSpec{}, "sleep")
	must(t, b.KillContainer(t.Context(), c, "SIGKILL"))
	if code, err := b.WaitContainer(t.Context(), c); err != nil || code != 137 {
		t.Errorf("got %d, %v", code, err)
	}
	is(t, "kill of what has ended", b.KillContainer(t.Context(), c, "SIGKILL"), daemon.Conflict)
}

func exitCodes(t *testing.T, b Bench) {
	for _, want := range []string{"0", "255"} {
		c := b.started(t, daemon.ContainerSpec{}, "exit", want)
		_, err := b.WaitContainer(t.Context(), c)
		must(t, err)
		if got := b.state(t, c); got.Running || time.Since(got.Finished) > patience || itoa(got.ExitCode) != want {
			t.Errorf("exit %s: %+v", want, got)
		}
	}
}

func wait(t *testing.T, b Bench) {
	ctx := t.Context()
	c := b.create(t, daemon.ContainerSpec{}, "nap", "300ms", "exit", "5")
	_, err := b.WaitContainer(ctx, c)
	is(t, "wait for what was not started", err, daemon.Conflict)
	must(t, b.StartContainer(ctx, c))
	for range 2 { // while it runs, and after
		if code, err := b.WaitContainer(ctx, c); err != nil || code != 5 {
			t.Errorf("got %d, %v", code, err)
		}
	}
	c = b.started(t, daemon.ContainerSpec{}, "sleep")
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err = b.WaitContainer(short, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its context ended: %v", err)
	}
	if got := b.state(t, c); !got.Running {
		t.Errorf("the wait ended, and so did the container: %+v", got)
	}
	removed := make(chan struct{}) // with a code or with an error: Podman may have forgotten it
	go func() { _, _ = b.WaitContainer(ctx, c); close(removed) }()
	must(t, b.RemoveContainer(ctx, c))
	select {
	case <-removed:
	case <-time.After(patience):
		t.Error("the wait for a container that was removed does not end")
	}
}

func endedContext(t *testing.T, b Bench) {
	c := b.started(t, daemon.ContainerSpec{}, "sleep")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	none := b.name()
	for what, err := range map[string]error{
		"create": b.CreateContainer(ctx, daemon.ContainerSpec{Name: none, Image: b.Image}), "start": b.StartContainer(ctx, c),
		"stop": b.StopContainer(ctx, c, time.Second), "remove": b.RemoveContainer(ctx, c), "network": b.EnsureNetwork(ctx, none, nil),
		"volume": b.EnsureVolume(ctx, none, nil), "pause": b.PauseContainer(ctx, c),
	} {
		is(t, what, err, daemon.Failed)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := b.state(t, c); !got.Running {
		t.Errorf("changed all the same: %+v", got)
	}
	_, err := b.Container(t.Context(), none)
	is(t, "created all the same", err, daemon.NotFound)
}
