package machine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/git"
	"towline/daemon/machine"
)

// bounded is a daemon of small bounds with a member and an administrator.
func bounded(t *testing.T, b apps.Bounds) (*machine.Machine, *neighbours) {
	t.Helper()
	n := newNeighbours()
	d := newDaemon(t, n, func(o *machine.Options) { o.Bounds, o.Unpacker = b, git.NewUnpacker(git.Limits{}) })
	err := d.Store.Update(t.Context(), func(tx daemon.Tx) error {
		return errors.Join(
			tx.InsertMember(daemon.Member{Name: "bob", Created: time.Now().UTC()}),
			tx.InsertMember(daemon.Member{Name: "root", Admin: true, Created: time.Now().UTC()}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return d, n
}

func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	var e *daemon.Error
	if !errors.As(err, &e) || e.Kind != daemon.Conflict || e.Hint == "" {
		t.Errorf("not refused with a hint: %v", err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func TestAppsOfAMemberAreBounded(t *testing.T) {
	d, _ := bounded(t, apps.Bounds{Apps: 2})
	ctx := t.Context()
	for _, name := range []string{"one", "two"} {
		if _, err := d.Apps.Create(ctx, name, "bob"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := d.Apps.Create(ctx, "three", "bob")
	refused(t, err, "bob has 2 apps")
	if _, err := d.Apps.App(ctx, "three"); !errors.Is(err, daemon.ErrNotFound) {
		t.Errorf("the app that was refused: %v", err)
	}
	for _, member := range []string{"root", ""} { // an administrator, and the operator on the host
		for i := range 3 {
			if _, err := d.Apps.Create(ctx, fmt.Sprintf("app-%s%d", member, i), member); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestOneOffsOfAMemberAreBounded(t *testing.T) {
	d, n := bounded(t, apps.Bounds{OneOffs: 2})
	ctx := t.Context()
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web", "worker")
	err := d.Store.Update(ctx, func(tx daemon.Tx) error {
		var err error
		for range 2 {
			err = errors.Join(err, tx.InsertOperation(&daemon.Operation{Kind: "run", Subject: "shop", Member: "bob", Step: "run", Started: time.Now().UTC()}))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Processes.Run(ctx, apps.RunRequest{App: "shop", Member: "bob", Command: []string{"true"}})
	refused(t, err, "2 one-offs of bob")
}

func TestProcessesOfAnAppAreBounded(t *testing.T) {
	d, n := bounded(t, apps.Bounds{Processes: 6})
	ctx := t.Context()
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web", "worker")
	_, err := d.Processes.Scale(ctx, "shop", "bob", []apps.Change{{Type: "web", Count: 4}, {Type: "worker", Count: 3}}, nil)
	refused(t, err, "shop would have 7 processes", "6")
	// Nor does an app.json ask for more than who may deploy could have.
	if _, err := d.Apps.Create(ctx, "calls", ""); err != nil {
		t.Fatal(err)
	}
	source := func(formation string) apps.DeployRequest {
		return apps.DeployRequest{App: "calls", Source: tarOf(t, map[string]string{"Procfile": "web: x\n", "app.json": `{"formation": ` + formation + `}`})}
	}
	_, err = d.Releases.Deploy(ctx, source(`{"web": {"quantity": 7}}`), nil)
	refused(t, err, "calls would have 7 processes", "6")
	// What there is none of is told, and counts for nothing.
	var out bytes.Buffer
	if _, err := d.Releases.Deploy(ctx, source(`{"web": {"quantity": 2}, "wroker": {"quantity": 3}}`), &out); err != nil {
		t.Fatal(err, out.String())
	}
	a, err := d.Apps.App(ctx, "calls")
	if text := out.String(); err != nil || len(a.Kept) > 0 || a.Formation["web"] != 2 || !strings.Contains(text, "the formation has wroker, which is no process type; there are: web") || strings.Contains(text, "ran") {
		t.Errorf("%+v, %v:\n%s", a, err, text)
	}
}

func TestMemoryKillIsInTheLog(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n, func(o *machine.Options) { o.Limits.Memory = 512 << 20 })
	deployed(t, d, n, "shop", daemon.Formation{"worker": 1}, "web", "worker")
	if err := d.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go d.Supervisor.Run(ctx)
	list, _ := n.ContainerList(t.Context(), map[string]string{"towline.process": "worker"})
	if len(list) != 1 {
		t.Fatalf("%+v", list)
	}
	n.events <- daemon.Event{Container: list[0].Name, Labels: list[0].Labels, OutOfMemory: "ruby"}
	until(t, "the app's log tells", func() bool {
		return n.said("shop system out of memory: worker.1 was killed, as it needed more than the 512 MiB that it may have (the kernel killed ruby)")
	})
}
