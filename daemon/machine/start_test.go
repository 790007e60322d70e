package machine_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

// hangs waits for the end of a call's context.
func hangs(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func runs(n *neighbours, app string) bool {
	list, _ := n.ContainerList(context.Background(), map[string]string{"towline.app": app})
	return slices.ContainsFunc(list, func(c daemon.Container) bool { return c.Running })
}

// Apps that never come up, more of them than are started at a time, keep neither the
// daemon nor the others from their start.
func TestStartWhileAppsHang(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	d.SetPatience(20 * time.Millisecond)
	for i := range 6 {
		deployed(t, d, n, fmt.Sprintf("bad%d", i), daemon.Formation{"web": 1}, "web")
	}
	deployed(t, d, n, "good", daemon.Formation{"web": 1}, "web")
	n.setHook(func(ctx context.Context, call, subject string) error {
		if call == "start" && strings.HasPrefix(subject, "towline-bad") {
			return hangs(ctx)
		}
		return nil
	})
	started := make(chan error, 1)
	go func() { started <- d.Reconcile(context.Background()) }()
	if err := within(t, started, "the daemon's start"); err != nil {
		t.Fatal(err)
	}
	until(t, "the good app runs", func() bool { return runs(n, "good") })
}

// What one app or add-on had begun, and cannot be ended, keeps nobody else. It is locked
// meanwhile, and who waits is told.
func TestStartWhileARecoveryHangs(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	d.SetPatience(20 * time.Millisecond)
	deployed(t, d, n, "bad", daemon.Formation{"web": 1}, "web")
	deployed(t, d, n, "good", daemon.Formation{"web": 1}, "web")
	ready(t, d, n, "stuck", "bad")
	op := daemon.Operation{Kind: "bounce", Subject: "stuck", Step: "restart", Member: "mallory", Started: time.Now()}
	if err := d.Store.Update(t.Context(), func(tx daemon.Tx) error { return tx.InsertOperation(&op) }); err != nil {
		t.Fatal(err)
	}
	goOn := make(chan bool)
	n.setHook(func(ctx context.Context, call, subject string) error {
		if strings.Contains(subject, "stuck") {
			select {
			case <-goOn:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	started := make(chan error, 1)
	go func() { started <- d.Reconcile(context.Background()) }()
	if err := within(t, started, "the daemon's start"); err != nil {
		t.Fatal(err)
	}
	until(t, "the good app runs", func() bool { return runs(n, "good") })
	if !slices.ContainsFunc(operations(t, d), func(o daemon.Operation) bool { return o.ID == op.ID }) {
		t.Error("the operation is gone before it was recovered")
	}
	var told screen
	restarted := make(chan error, 1)
	go func() { restarted <- d.Addons.Restart(t.Context(), "stuck", "", &told) }()
	until(t, "who waits is told", func() bool { return strings.Contains(told.String(), "a restart of stuck, begun by mallory") })
	close(goOn)
	if err := within(t, restarted, "the restart"); err != nil {
		t.Error(err)
	}
	until(t, "the app of the add-on runs", func() bool { return runs(n, "bad") })
	until(t, "the journal is empty", func() bool { return len(operations(t, d)) == 0 })
}

// A panic while one app is recovered or started is contained to it.
func TestStartWhileARecoveryPanics(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "good", daemon.Formation{"web": 1}, "web")
	deployed(t, d, n, "bad", daemon.Formation{"web": 1}, "web")
	op := daemon.Operation{Kind: "deploy", Subject: "bad", Step: "build", Started: time.Now()}
	if err := d.Store.Update(t.Context(), func(tx daemon.Tx) error { return tx.InsertOperation(&op) }); err != nil {
		t.Fatal(err)
	}
	n.setHook(func(_ context.Context, call, subject string) error {
		if call == "clean" || strings.HasPrefix(subject, "towline-bad") {
			panic("boom")
		}
		return nil
	})
	if err := d.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the good app runs", func() bool { return runs(n, "good") })
	until(t, "the bad app's log says so", func() bool { return n.said("bad system towlined met a bug") })
}

// What belongs to nothing and cannot be removed is no reason not to start.
func TestStartWithAnOrphanThatStays(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "good", daemon.Formation{"web": 1}, "web")
	n.containers["towline-gone.web.1"] = daemon.Container{Name: "towline-gone.web.1", Labels: map[string]string{"towline.app": "gone"}}
	n.setHook(func(_ context.Context, call, subject string) error {
		if call == "remove" && subject == "towline-gone.web.1" {
			return daemon.Errorf(daemon.Failed, "device or resource busy")
		}
		return nil
	})
	if err := d.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the good app runs", func() bool { return runs(n, "good") })
}

// TestStartThatEndsTheDaemon: an app whose start ends the whole process, as one that has
// it run out of memory does, is left out of the start after the second.
func TestStartThatEndsTheDaemon(t *testing.T) {
	dir := t.TempDir()
	n := newNeighbours()
	d := daemonIn(t, dir, n)
	apps := []string{"a", "b", "bad", "c", "d"}
	for _, app := range apps {
		deployed(t, d, n, app, daemon.Formation{"web": 1}, "web")
	}
	start := func() (out string, died bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDaemonThatDies$", "-test.v")
		cmd.Env = append(os.Environ(), "TOWLINE_TEST_DIR="+dir)
		text, err := cmd.CombinedOutput()
		return string(text), err != nil
	}
	for i := range 2 {
		if out, died := start(); !died {
			t.Fatalf("start %d went well:\n%s", i+1, out)
		}
	}
	out, died := start()
	if died {
		t.Fatalf("the third start failed too:\n%s", out)
	}
	for _, app := range []string{"a", "b", "c", "d"} {
		if !strings.Contains(out, "running: "+app+"\n") {
			t.Errorf("%s does not run:\n%s", app, out)
		}
	}
	if !strings.Contains(out, "said: true") {
		t.Errorf("nothing says so in the app's log:\n%s", out)
	}
	if out, died := start(); !died {
		t.Errorf("the start after that does not try it again:\n%s", out)
	}
}

// TestDaemonThatDies is the daemon of TestStartThatEndsTheDaemon.
func TestDaemonThatDies(t *testing.T) {
	dir := os.Getenv("TOWLINE_TEST_DIR")
	if dir == "" {
		t.Skip("only as a process of its own")
	}
	n := newNeighbours()
	n.setHook(func(_ context.Context, call, subject string) error {
		if call == "create" && strings.HasPrefix(subject, "towline-bad.") {
			os.Exit(3)
		}
		return nil
	})
	d := daemonIn(t, dir, n)
	if err := d.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, app := range []string{"a", "b", "bad", "c", "d"} {
		if runs(n, app) {
			fmt.Printf("running: %s\n", app)
		}
	}
	fmt.Println("said:", n.said("bad system towlined went down twice"))
}

// After one start that ended with several on their way, each is tried, the suspects last.
func TestSuspectsComeLast(t *testing.T) {
	dir := t.TempDir()
	n := newNeighbours()
	d := daemonIn(t, dir, n)
	for _, app := range []string{"a", "b", "c"} {
		deployed(t, d, n, app, daemon.Formation{"web": 1}, "web")
	}
	n.calls = nil // the routes of apps that nothing was deployed to
	if err := os.WriteFile(filepath.Join(dir, "starting.json"), []byte(`{"app:a":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, call := range n.calls {
		if rest, ok := strings.CutPrefix(call, "deploy "); ok {
			order = append(order, rest)
		}
	}
	if len(order) != 3 || order[2] != "a" {
		t.Errorf("started in the order %v", order)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "starting.json")); err != nil || string(text) != "{}" {
		t.Errorf("left: %s, %v", text, err)
	}
}

// What a newer version began stays in the journal for it, and keeps nothing from its start.
func TestStartLeavesWhatItDoesNotKnow(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	op := daemon.Operation{Kind: "of-a-newer-version", Subject: "shop", Step: "first", Started: time.Now()}
	if err := d.Store.Update(t.Context(), func(tx daemon.Tx) error { return tx.InsertOperation(&op) }); err != nil {
		t.Fatal(err)
	}
	if err := d.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the app runs", func() bool { return runs(n, "shop") })
	if ops := operations(t, d); !slices.ContainsFunc(ops, func(o daemon.Operation) bool { return o.ID == op.ID }) {
		t.Errorf("in the journal: %+v", ops)
	}
}
