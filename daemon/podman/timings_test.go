package podman_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"towline/daemon"
)

// TestTimings prints what each call costs. It runs on request: TOWLINE_TIMINGS=1.
func TestTimings(t *testing.T) {
	if os.Getenv("TOWLINE_TIMINGS") == "" {
		t.Skip("measures, and checks nothing: set TOWLINE_TIMINGS=1")
	}
	e := newEngine(t)
	ctx := t.Context()
	took := map[string][]time.Duration{}
	var order []string
	measure := func(what string, f func() error) {
		since := time.Now()
		if err := f(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if took[what] == nil {
			order = append(order, what)
		}
		took[what] = append(took[what], time.Since(since))
	}
	other := newNetwork(t, e)
	for i := range 10 {
		n, c := fmt.Sprintf("%s-net%d", run, i), fmt.Sprintf("%s-c%d", run, i)
		measure("network create", func() error { return e.EnsureNetwork(ctx, n, nil) })
		spec := daemon.ContainerSpec{Name: c, Image: testImage, Command: []string{"sleep"}, Init: true,
			Networks: []daemon.Attachment{{Network: n}}, CapDrop: []string{"ALL"}}
		measure("create", func() error { return e.CreateContainer(ctx, spec) })
		measure("start", func() error { return e.StartContainer(ctx, c) })
		measure("inspect", func() error { _, err := e.Container(ctx, c); return err })
		measure("list", func() error { _, err := e.ContainerList(ctx, nil); return err })
		measure("connect", func() error { return e.Connect(ctx, other, c, []string{"x"}) })
		measure("disconnect", func() error { return e.Disconnect(ctx, other, c) })
		measure("pause", func() error { return e.PauseContainer(ctx, c) })
		measure("unpause", func() error { return e.UnpauseContainer(ctx, c) })
		measure("exec", func() error {
			_, err := e.Exec(ctx, c, daemon.ExecSpec{Command: []string{"/probe"}}, daemon.Streams{})
			return err
		})
		measure("stop", func() error { return e.StopContainer(ctx, c, 10*time.Second) })
		measure("remove", func() error { return e.RemoveContainer(ctx, c) })
		measure("network remove", func() error { return e.RemoveNetwork(ctx, n) })
		spec.Command = []string{"out", "x"}
		spec.Networks[0].Network = other
		if err := e.CreateContainer(ctx, spec); err != nil {
			t.Fatal(err)
		}
		measure("run attached", func() error { _, err := e.RunAttached(ctx, c, daemon.Streams{}); return err })
		measure("remove at once", func() error { return e.RemoveContainer(ctx, c) })
	}
	for _, what := range order {
		slices.Sort(took[what])
		t.Logf("%-15s median %4d ms, worst %4d ms", what, took[what][5].Milliseconds(), took[what][9].Milliseconds())
	}
}
