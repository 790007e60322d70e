package machine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/apps"
)

func kindOf(err error) daemon.Kind {
	var e *daemon.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func TestBlankCommandsAreRefused(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	for _, command := range [][]string{nil, {""}, {" "}, {"\t\n"}, {"", ""}, {"\u00a0"}, {"a\x00b"}} {
		if _, err := d.Processes.Run(t.Context(), apps.RunRequest{App: "shop", Command: command}); kindOf(err) != daemon.Invalid {
			t.Errorf("%q: %v", command, err)
		}
	}
	if _, err := d.Processes.Run(t.Context(), apps.RunRequest{App: "shop", Command: []string{"true"}}); err != nil {
		t.Error(err)
	}
	if ops := operations(t, d); len(ops) > 0 {
		t.Errorf("left in the journal: %+v", ops)
	}
}

// A panic of a one-off ends that one-off, and leaves nothing of it.
func TestPanicEndsItsOperationAlone(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	n.setHook(func(_ context.Context, call, _ string) error {
		if call == "deploy" {
			panic("boom")
		}
		return nil
	})
	err := d.Processes.Restart(t.Context(), "shop", "", "", nil)
	if kindOf(err) != daemon.Failed || strings.Contains(err.Error(), "boom") {
		t.Errorf("got %v", err)
	}
	if ops := operations(t, d); len(ops) > 0 {
		t.Errorf("left in the journal: %+v", ops)
	}
	if list, _ := n.ContainerList(t.Context(), nil); len(list) > 0 {
		t.Errorf("left running: %+v", list)
	}
	if !n.called("deploy shop") {
		t.Error("it never came to the panic")
	}
	n.setHook(nil)
	if err := d.Processes.Restart(t.Context(), "shop", "", "", nil); err != nil {
		t.Errorf("the lock, or the app, was left unusable: %v", err)
	}
}

// Processes are started on goroutines of their own, where nobody's defer catches a panic.
func TestPanicOfStartingProcess(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 2}, "web")
	n.setHook(func(_ context.Context, call, _ string) error {
		if call == "start" {
			panic("boom")
		}
		return nil
	})
	if err := d.Processes.Restart(t.Context(), "shop", "", "", nil); kindOf(err) != daemon.Failed {
		t.Errorf("got %v", err)
	}
}

func TestSuperviseGoesOnAfterPanic(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "bad", daemon.Formation{"worker": 1}, "web", "worker")
	deployed(t, d, n, "good", daemon.Formation{"worker": 1}, "web", "worker")
	if err := d.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.setHook(func(_ context.Context, call, subject string) error {
		if strings.Contains(subject, "towline-bad.") {
			panic("boom")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go d.Supervisor.Run(ctx)
	list, _ := n.ContainerList(t.Context(), map[string]string{"towline.process": "worker"})
	for _, app := range []string{"bad", "good"} {
		for _, c := range list {
			if c.Labels["towline.app"] == app {
				n.change(c.Name, func(c *daemon.Container) { c.Running, c.ExitCode = false, 1 })
				n.events <- daemon.Event{Container: c.Name, Labels: c.Labels, Died: true, ExitCode: 1}
			}
		}
	}
	until(t, "the crash is in its log", func() bool { return n.said("good system worker.1 exited with code 1") })
	until(t, "the other app's worker runs again", func() bool {
		list, _ := n.ContainerList(t.Context(), map[string]string{"towline.app": "good", "towline.process": "worker"})
		return len(list) == 1 && list[0].Running
	})
}

func TestPanicOfBackgroundWorkIsContained(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	ready(t, d, n, "cache", "shop")
	err := d.Store.Update(t.Context(), func(tx daemon.Tx) error {
		return tx.PutSchedule(daemon.Schedule{Addon: "cache", Cron: "* * * * *", Zone: "UTC", Keep: "1d", Last: time.Now().Add(-time.Hour)})
	})
	if err != nil {
		t.Fatal(err)
	}
	boom := make(chan struct{}, 16)
	// Store is wrapped: the schedule's loop meets a panic, then goes on.
	d.Schedules.Store = panicsOnce{d.Store, boom}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { d.Schedules.Run(ctx); close(ended) }()
	within(t, boom, "the panic")
	cancel()
	within(t, ended, "the loop's end")
}

type panicsOnce struct {
	daemon.Store
	boom chan<- struct{}
}

func (p panicsOnce) Update(context.Context, func(daemon.Tx) error) error {
	p.boom <- struct{}{}
	panic("boom")
}

// The daemon ends although Podman answers nothing, neither to what is done nor to what
// undoes it. What is left is in the journal.
func TestCloseWhilePodmanHangs(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	d.SetCloseGrace(10 * time.Millisecond)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	ready(t, d, n, "cache", "shop")
	reached := make(chan bool, 16)
	n.setHook(func(ctx context.Context, call, _ string) error {
		switch call {
		case "start":
			return errors.New("no") // so that it is undone
		case "remove", "stop":
			reached <- true
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	ended := make(chan error, 2)
	go func() { ended <- d.Processes.Restart(t.Context(), "shop", "", "", nil) }()
	go func() { ended <- d.Addons.Restart(t.Context(), "cache", "", nil) }()
	for range 2 {
		within(t, reached, "a call that hangs")
	}
	closed := make(chan bool, 1)
	go func() { d.Close(); closed <- true }()
	for range 2 {
		if err := within(t, ended, "a call's end"); err == nil {
			t.Error("no error")
		}
	}
	within(t, closed, "the daemon's end")
	if ops := operations(t, d); len(ops) != 2 {
		t.Errorf("in the journal: %+v", ops)
	}
}
