package podman_test

import (
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

func TestAliasesAreInHostsFiles(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	n, other := newNetwork(t, e), newNetwork(t, e)
	early := started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{{Network: n}}}, "sleep")
	db := started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{{Network: n, Aliases: []string{"db"}}}}, "sleep")
	line := func() string {
		got, err := e.Container(ctx, db)
		if err != nil {
			t.Fatal(err)
		}
		return got.Addresses[n] + "\tdb "
	}
	hosts := func(container string) string {
		out, _ := probe(t, e, container, "read", "/etc/hosts")
		return out
	}
	if got := hosts(early); !strings.Contains(got, line()) || !strings.Contains(got, "localhost") {
		t.Errorf("started before it: %q", got)
	}
	late := create(t, e, daemon.ContainerSpec{Networks: []daemon.Attachment{{Network: n}}}, "read", "/etc/hosts")
	if got, _, _ := output(t, e, late); !strings.Contains(got, line()) {
		t.Errorf("at the first instant of one started later: %q", got)
	}

	// Another address after a restart.
	before := line()
	if err := e.StopContainer(ctx, db, time.Second); err != nil {
		t.Fatal(err)
	}
	started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{{Network: n}}}, "sleep")
	if err := e.StartContainer(ctx, db); err != nil {
		t.Fatal(err)
	}
	if got := hosts(early); line() == before || strings.Contains(got, before) || !strings.Contains(got, line()) {
		t.Errorf("after a restart: %q; was %q", got, before)
	}

	if err := e.Connect(ctx, other, early, []string{"self"}); err != nil {
		t.Fatal(err)
	}
	if got := hosts(early); !strings.Contains(got, "\tself ") || !strings.Contains(got, line()) {
		t.Errorf("connected: %q", got)
	}
	if err := e.Disconnect(ctx, other, early); err != nil {
		t.Fatal(err)
	}
	if got := hosts(early); strings.Contains(got, "\tself ") || !strings.Contains(got, line()) {
		t.Errorf("disconnected: %q", got)
	}
}

// Containers that come and go elsewhere make Podman's name server lose questions.
func TestAliasResolvesWhileOthersComeAndGo(t *testing.T) {
	e := newEngine(t)
	n, other := newNetwork(t, e), newNetwork(t, e)
	started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{{Network: n, Aliases: []string{"db"}}}}, "sleep")
	asking := create(t, e, daemon.ContainerSpec{Networks: []daemon.Attachment{{Network: n}}}, "ask", "db", "3s")
	if err := e.StartContainer(t.Context(), asking); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		c := create(t, e, daemon.ContainerSpec{Networks: []daemon.Attachment{{Network: other}}}, "exit", "0")
		output(t, e, c)
		if err := e.RemoveContainer(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if code, err := e.WaitContainer(t.Context(), asking); err != nil || code != 0 {
		var out, errs strings.Builder
		_ = e.ContainerLog(t.Context(), asking, false, &out, &errs)
		t.Errorf("code %d, %v: %s%s", code, err, out.String(), errs.String())
	}
}
