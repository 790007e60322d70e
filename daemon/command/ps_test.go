package command

import (
	"strings"
	"testing"

	"towline/daemon"
)

// TestNoProcesses: what is to be typed can be typed.
func TestNoProcesses(t *testing.T) {
	for want, counts := range map[string]daemon.Formation{
		"git push":                  nil,
		"ps:scale web=1 -a shop":    {"clock": 0, "web": 0},
		"ps:scale clock=1 -a shop":  {"clock": 0, "worker": 0},
		"ps:scale worker=1 -a shop": {"worker": 0},
	} {
		if got := noProcesses("shop", counts); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", counts, got, want)
		}
	}
}
