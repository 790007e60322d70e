package machine_test

import (
	"context"
	"testing"

	"towline/daemon"
	"towline/daemon/machine"
)

// execs remembers the commands that were started in containers.
type execs struct {
	*neighbours
	specs []daemon.ExecSpec
}

func (e *execs) Exec(_ context.Context, _ string, spec daemon.ExecSpec, _ daemon.Streams) (int, error) {
	e.specs = append(e.specs, spec)
	return 0, nil
}

// TestConsolesRunAsNobody: from a console a member starts programs, as by \! of psql. They are
// not root's, who in an add-on has capabilities.
func TestConsolesRunAsNobody(t *testing.T) {
	n := newNeighbours()
	e := &execs{neighbours: n}
	d := newDaemon(t, n, func(o *machine.Options) { o.Engine = e })
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	ready(t, d, n, "cache", "shop")
	if _, err := d.Addons.Console(t.Context(), "cache", "ann", "", daemon.Streams{}); err != nil {
		t.Fatal(err)
	}
	if len(e.specs) != 1 || e.specs[0].User != "65534:65534" {
		t.Errorf("started: %+v", e.specs)
	}
}
