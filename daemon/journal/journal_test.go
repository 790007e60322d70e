package journal

import (
	"testing"

	"towline/daemon"
)

// What no table knows how to recover is not begun.
func TestBeginRefusesWhatIsNotDeclared(t *testing.T) {
	j := New(Options{})
	j.Declare(Kind{Name: "run", Steps: []string{"run"}})
	for _, c := range [][2]string{{"no-such-kind", "run"}, {"run", "no-such-step"}} {
		if _, err := j.Begin(t.Context(), c[0], "shop", daemon.Activity{}, c[1], nil); !daemon.IsKind(err, daemon.Failed) {
			t.Errorf("%v: got %v", c, err)
		}
	}
	op := j.Resume(daemon.Operation{Kind: "run", Step: "run"})
	if err := op.Next(t.Context(), "no-such-step", nil); !daemon.IsKind(err, daemon.Failed) || op.Step != "run" {
		t.Errorf("a step that is not declared: got %v, at %s", err, op.Step)
	}
}
