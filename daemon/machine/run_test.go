package machine_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/machine"
)

// shower is an engine whose one-offs show their environment and end with a code or an error.
type shower struct {
	*neighbours
	spec daemon.ContainerSpec
	code int
	err  error
}

func (s *shower) CreateContainer(ctx context.Context, spec daemon.ContainerSpec) error {
	s.spec = spec
	return s.neighbours.CreateContainer(ctx, spec)
}

func (s *shower) RunAttached(_ context.Context, _ string, streams daemon.Streams) (int, error) {
	for key, value := range s.spec.Env {
		if _, err := io.WriteString(streams.Stdout, key+"="+value+"\n"); err != nil {
			return 0, err
		}
	}
	return s.code, s.err
}

// TestOneOffIsNotLogged: the app's log says that a one-off ran, by whom and how it ended, and
// nothing of what it showed.
func TestOneOffIsNotLogged(t *testing.T) {
	for _, c := range []struct {
		code int
		err  error
		says string
	}{
		{0, nil, "One-off ended with exit code 0"},
		{42, nil, "One-off ended with exit code 42"},
		{0, errors.New("the stream broke"), "One-off was ended: the stream broke"},
	} {
		n := newNeighbours()
		s := &shower{neighbours: n, code: c.code, err: c.err}
		d := newDaemon(t, n, func(o *machine.Options) { o.Engine = s })
		deployed(t, d, n, "shop", daemon.Formation{})
		var shown strings.Builder
		code, err := d.Processes.Run(t.Context(), apps.RunRequest{
			App: "shop", Member: "ann", Command: []string{"env"}, Env: map[string]string{"SECRET": "hush"}, Streams: daemon.Streams{Stdout: &shown},
		})
		if code != c.code || !errors.Is(err, c.err) || !strings.Contains(shown.String(), "SECRET=hush\n") {
			t.Errorf("%d, %v: %s", code, err, &shown)
		}
		if !s.spec.NoLog || s.spec.LogPath != "" {
			t.Errorf("the engine keeps a log at %q", s.spec.LogPath)
		}
		if !n.said("Starting one-off for ann: env") || !n.said(c.says) || n.said("hush") {
			t.Errorf("the log says %q", n.lines)
		}
	}
}

// TestOneOffOfAProcessType: a type of the Procfile is run as its processes are; with more words
// it is a program.
func TestOneOffOfAProcessType(t *testing.T) {
	n := newNeighbours()
	s := &shower{neighbours: n}
	d := newDaemon(t, n, func(o *machine.Options) { o.Engine = s })
	deployed(t, d, n, "shop", daemon.Formation{})
	err := d.Store.Update(t.Context(), func(tx daemon.Tx) error {
		rel, err := tx.Release("shop", 2)
		if err != nil {
			return err
		}
		rel.Processes = map[string]daemon.Process{"worker": {Command: "rake work", Entrypoint: []string{"/launcher"}, Args: []string{"rake work"}}}
		return tx.UpdateRelease(rel)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, want string }{
		{"worker", "/launcher|rake work"}, {"worker --once", "/bin/sh|-c exec worker --once"}, {"web", "/bin/sh|-c exec web"},
	} {
		if _, err := d.Processes.Run(t.Context(), apps.RunRequest{App: "shop", Command: strings.Fields(c.command), Streams: daemon.Streams{Stdout: io.Discard}}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.spec.Entrypoint, " ") + "|" + strings.Join(s.spec.Command, " "); got != c.want {
			t.Errorf("run %s: %s, want %s", c.command, got, c.want)
		}
	}
}

// TestEndedOneOff: the log says once that a one-off was ended, and why.
func TestEndedOneOff(t *testing.T) {
	n := newNeighbours()
	s := &shower{neighbours: n, err: context.Canceled}
	d := newDaemon(t, n, func(o *machine.Options) { o.Engine = s })
	deployed(t, d, n, "shop", daemon.Formation{})
	ctx, cancel := context.WithCancelCause(t.Context())
	shown := writer(func(p []byte) (int, error) {
		cancel(errors.New("this was ended: you are no member here any more"))
		return len(p), nil
	})
	_, _ = d.Processes.Run(ctx, apps.RunRequest{App: "shop", Member: "ann", Command: []string{"env"}, Streams: daemon.Streams{Stdout: shown}})
	if !n.said("One-off was ended: you are no member here any more") {
		t.Errorf("the log says %q", n.lines)
	}
}

// TestOneOffIsRemoved: Podman's refusal to remove a one-off, which may have been ending just
// then, is not its last word; a one-off that stays counts as one that runs.
func TestOneOffIsRemoved(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{})
	var refused atomic.Int32
	n.setHook(func(_ context.Context, call, _ string) error {
		if call == "remove" && refused.Add(1) <= 2 {
			return errors.New("it could not be stopped")
		}
		return nil
	})
	if _, err := d.Processes.Run(t.Context(), apps.RunRequest{App: "shop", Member: "ann", Command: []string{"env"}}); err != nil {
		t.Fatal(err)
	}
	for since := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		var ops []daemon.Operation
		err := d.Store.View(t.Context(), func(tx daemon.Tx) (err error) {
			ops, err = tx.Operations()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(ops) == 0 {
			break
		}
		if time.Since(since) > 30*time.Second {
			t.Fatalf("%d times refused, it stays: %v", refused.Load(), ops)
		}
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// TestConfigIsBounded: many vars together are bounded as one is, by config:set and however
// many changes they come in; what a release had before can shrink.
func TestConfigIsBounded(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{})
	set := func(noRestart bool, keys ...string) error {
		c := apps.ConfigChange{App: "shop", Set: map[string]string{}, NoRestart: noRestart}
		for _, key := range keys {
			c.Set[key] = strings.Repeat("x", 60<<10)
		}
		_, err := d.Releases.SetConfig(t.Context(), c, io.Discard)
		return err
	}
	if err := set(true, "A", "B", "C", "D"); err != nil {
		t.Fatal(err)
	}
	for _, noRestart := range []bool{true, false} {
		err := set(noRestart, "E")
		var e *daemon.Error
		if !errors.As(err, &e) || e.Kind != daemon.Invalid || !strings.Contains(err.Error(), "at most 262144 are allowed") {
			t.Errorf("a fifth value: %v", err)
		}
	}
	if rel, err := d.Apps.Release(t.Context(), "shop", 0); err != nil || len(rel.Config) != 4 {
		t.Errorf("%d vars, %v", len(rel.Config), err)
	}
	big := map[string]string{}
	for _, key := range []string{"A", "B", "C", "D", "E", "F"} {
		big[key] = strings.Repeat("x", 60<<10)
	}
	if err := d.Store.Update(t.Context(), func(tx daemon.Tx) error {
		app, err := tx.App("shop")
		app.Config = big
		return errors.Join(err, tx.UpdateApp(app))
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Releases.SetConfig(t.Context(), apps.ConfigChange{App: "shop", Unset: []string{"A"}, NoRestart: true}, io.Discard); err != nil {
		t.Errorf("vars from before the bound: %v", err)
	}
}

// TestReservedConfig: what every process is given by Towline is not to be set, by config:set
// or for a one-off; what was set before that was refused can be removed.
func TestReservedConfig(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{})
	for _, key := range []string{"DYNO", "SOURCE_VERSION", "TOWLINE_APP", "TOWLINE_ANYTHING"} {
		_, err := d.Releases.SetConfig(t.Context(), apps.ConfigChange{App: "shop", Set: map[string]string{key: "x"}, NoRestart: true}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), key+" is set by Towline itself") {
			t.Errorf("%s was set: %v", key, err)
		}
		_, err = d.Processes.Run(t.Context(), apps.RunRequest{App: "shop", Command: []string{"true"}, Env: map[string]string{key: "x"}})
		if err == nil || !strings.Contains(err.Error(), key+" is set by Towline itself") {
			t.Errorf("%s was set for a one-off: %v", key, err)
		}
	}
	err := d.Store.Update(t.Context(), func(tx daemon.Tx) error {
		app, err := tx.App("shop")
		if err != nil {
			return err
		}
		app.Config = map[string]string{"DYNO": "old"}
		return tx.UpdateApp(app)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Releases.SetConfig(t.Context(), apps.ConfigChange{App: "shop", Unset: []string{"DYNO"}, NoRestart: true}, io.Discard); err != nil {
		t.Error(err)
	}
}

// TestOneOffIsToldWhatEndedIt: a one-off that is killed says by what, as far as that can be
// told; one that ends by itself says nothing.
func TestOneOffIsToldWhatEndedIt(t *testing.T) {
	for _, c := range []struct {
		code int
		err  error
		end  func(d *machine.Machine, n *neighbours)
		want string
	}{
		{0, nil, func(*machine.Machine, *neighbours) {}, ""},
		{1, nil, func(*machine.Machine, *neighbours) {}, ""},
		{137, nil, func(*machine.Machine, *neighbours) {}, "was ended by SIGKILL"},
		{143, nil, func(*machine.Machine, *neighbours) {}, "was ended by SIGTERM"},
		{137, nil, func(d *machine.Machine, _ *neighbours) {
			if err := d.Apps.Destroy(context.Background(), "shop", "", nil); err != nil {
				t.Error(err)
			}
		}, "was ended: shop was destroyed"},
		{0, daemon.Errorf(daemon.NotFound, "no such container"), func(_ *machine.Machine, n *neighbours) {
			n.mu.Lock()
			defer n.mu.Unlock()
			clear(n.containers)
		}, "was ended: its container was removed"},
	} {
		n := newNeighbours()
		s := &ender{neighbours: n, code: c.code, err: c.err}
		d := newDaemon(t, n, func(o *machine.Options) { o.Engine = s })
		deployed(t, d, n, "shop", daemon.Formation{})
		s.end = func() { c.end(d, n) }
		var said strings.Builder
		code, err := d.Processes.Run(t.Context(), apps.RunRequest{App: "shop", Command: []string{"sleep"}, Streams: daemon.Streams{Stdout: io.Discard, Stderr: &said}})
		if want := max(c.code, map[bool]int{true: 137}[c.err != nil]); err != nil || code != want {
			t.Errorf("%q: exit code %d, %v", c.want, code, err)
		}
		if c.want == "" && said.Len() > 0 || !strings.Contains(said.String(), c.want) {
			t.Errorf("%d: said %q, want %q", c.code, &said, c.want)
		}
	}
}

// ender is an engine whose one-offs end with a code once something has happened to them.
type ender struct {
	*neighbours
	code int
	err  error
	end  func()
}

func (e *ender) RunAttached(context.Context, string, daemon.Streams) (int, error) {
	e.end()
	return e.code, e.err
}
