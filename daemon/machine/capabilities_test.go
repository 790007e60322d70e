package machine_test

import (
	"context"
	"io"
	"testing"

	"towline/daemon"
)

// TestCapabilities: they are kept for an app that has nothing deployed, replace the processes
// that run, and stay as they were if the new ones don't serve.
func TestCapabilities(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	if _, err := d.Apps.Create(t.Context(), "blog", ""); err != nil {
		t.Fatal(err)
	}
	set := func(app string, names ...string) error {
		_, err := d.Processes.SetCapabilities(t.Context(), app, "", names, io.Discard)
		return err
	}
	has := func(app string) string {
		a, err := d.Apps.App(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, name := range a.Capabilities {
			text += name + " "
		}
		return text
	}
	if err := set("blog", "cap_setuid", "CHOWN", "chown"); err != nil || has("blog") != "CHOWN SETUID " {
		t.Errorf("%q, %v", has("blog"), err)
	}
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	for _, names := range [][]string{{"SYS_ADMIN"}, {"NET_RAW"}, {"CHOWN", ""}, {"ALL"}} {
		if err := set("shop", names...); !daemon.IsKind(err, daemon.Invalid) {
			t.Errorf("%v: %v", names, err)
		}
	}
	labels := func() (of []string) {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, target := range n.routes["shop"].Targets {
			of = append(of, n.containers[target.ID].Labels[daemon.LabelCapabilities])
		}
		return of
	}
	if err := set("shop", "NET_BIND_SERVICE"); err != nil || has("shop") != "NET_BIND_SERVICE " || len(labels()) != 1 || labels()[0] != "NET_BIND_SERVICE" {
		t.Errorf("%q, %q, %v", has("shop"), labels(), err)
	}
	n.setHook(func(_ context.Context, call, _ string) error {
		if call == "start" {
			return daemon.Errorf(daemon.Failed, "no")
		}
		return nil
	})
	if err := set("shop"); err == nil || has("shop") != "NET_BIND_SERVICE " || labels()[0] != "NET_BIND_SERVICE" {
		t.Errorf("after a start that fails: %q, %q, %v", has("shop"), labels(), err)
	}
	n.setHook(nil)
	if err := set("shop"); err != nil || has("shop") != "" || labels()[0] != "" {
		t.Errorf("%q, %q, %v", has("shop"), labels(), err)
	}
}
