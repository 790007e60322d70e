package podman_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/podman"
)

// probe runs verbs in a container by exec.
func probe(t *testing.T, e *podman.Engine, container string, verbs ...string) (string, bool) {
	t.Helper()
	var out bytes.Buffer
	code, err := e.Exec(t.Context(), container, daemon.ExecSpec{Command: append([]string{"/probe"}, verbs...)}, daemon.Streams{Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), code == 0
}

// within polls for a thing that name servers and firewalls do in their own time.
func within(t *testing.T, limit time.Duration, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !f(); {
		if time.Now().After(deadline) {
			t.Errorf("%s: not within %s", what, limit)
			return
		}
	}
}

func TestNetworksAreApart(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	left, right := newNetwork(t, e), newNetwork(t, e)
	if err := e.EnsureNetwork(ctx, left, nil); err != nil { // there already
		t.Fatal(err)
	}
	server := started(t, e, daemon.ContainerSpec{Hostname: "server", Networks: []daemon.Attachment{{Network: left, Aliases: []string{"db"}}}}, "serve", "7000")
	near := started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{{Network: left}}}, "sleep")
	far := started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{{Network: right}}}, "sleep")
	got, err := e.Container(ctx, server)
	if err != nil || got.Addresses[left] == "" {
		t.Fatalf("%+v, %v", got, err)
	}
	address := got.Addresses[left] + ":7000"

	within(t, time.Minute, "neighbour by name", func() bool {
		answer, _ := probe(t, e, near, "dial", "db:7000")
		return answer == "server"
	})
	// A third network that comes and goes must not open the other two.
	third := started(t, e, daemon.ContainerSpec{Networks: []daemon.Attachment{{Network: newNetwork(t, e)}}}, "sleep")
	if err := e.RemoveContainer(ctx, third); err != nil {
		t.Fatal(err)
	}
	if answer, ok := probe(t, e, far, "dial", address); ok {
		t.Errorf("other network by address: %q", answer)
	}
	if answer, ok := probe(t, e, far, "resolve", "db"); ok {
		t.Errorf("other network by name: %q", answer)
	}

	for range 2 { // joined already is no error
		if err := e.Connect(ctx, left, far, []string{"guest"}); err != nil {
			t.Fatal(err)
		}
	}
	within(t, time.Minute, "by name once connected", func() bool {
		answer, _ := probe(t, e, far, "dial", "db:7000")
		return answer == "server"
	})
	within(t, time.Minute, "alias given on connecting", func() bool {
		_, ok := probe(t, e, near, "resolve", "guest")
		return ok
	})
	if err := e.RemoveNetwork(ctx, left); err == nil {
		t.Error("removed a network in use")
	}
	for range 2 {
		if err := e.Disconnect(ctx, left, far); err != nil {
			t.Fatal(err)
		}
	}
	if answer, ok := probe(t, e, far, "dial", address); ok {
		t.Errorf("by address once disconnected: %q", answer)
	}
}

func TestNetworkList(t *testing.T) {
	e := newEngine(t)
	n := newNetwork(t, e)
	list, err := e.Networks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var found bool
	for _, item := range list {
		if !strings.HasPrefix(item.Name, run) {
			t.Errorf("listed %s", item.Name)
		}
		found = found || item.Name == n && item.Labels["towline.app"] == n
	}
	if !found {
		t.Errorf("%s is not in %+v", n, list)
	}
	if err := e.RemoveNetwork(t.Context(), run+"-none"); err != nil {
		t.Error(err)
	}
}

func TestVolumeOutlivesContainer(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	v := run + "-data"
	for range 2 {
		if err := e.EnsureVolume(ctx, v, map[string]string{"towline.addon": "db"}); err != nil {
			t.Fatal(err)
		}
	}
	c := create(t, e, daemon.ContainerSpec{User: "root", Mounts: []daemon.Mount{{Volume: v, Target: "/data"}}}, "write", "/data/x", "kept")
	if _, errs, code := output(t, e, c); code != 0 {
		t.Fatal(errs)
	}
	if err := e.RemoveVolume(ctx, v); err == nil {
		t.Error("removed a volume in use")
	}
	if err := e.RemoveContainer(ctx, c); err != nil {
		t.Fatal(err)
	}
	c = create(t, e, daemon.ContainerSpec{Mounts: []daemon.Mount{{Volume: v, Target: "/data", ReadOnly: true}}}, "read", "/data/x", "write", "/data/y", "no")
	if out, errs, code := output(t, e, c); out != "kept" || code != 9 {
		t.Errorf("%q, %q, %d", out, errs, code)
	}
	list, err := e.Volumes(ctx)
	if err != nil || len(list) != 1 || list[0].Name != v || list[0].Labels["towline.addon"] != "db" {
		t.Errorf("%+v, %v", list, err)
	}
	path, err := e.VolumePath(ctx, v)
	if err != nil || !strings.HasSuffix(path, v+"/_data") {
		t.Errorf("%q, %v", path, err)
	}
	if err := e.RemoveContainer(ctx, c); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := e.RemoveVolume(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.VolumePath(ctx, v); !errors.Is(err, daemon.ErrNotFound) {
		t.Error(err)
	}
}
