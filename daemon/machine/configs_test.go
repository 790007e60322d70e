package machine_test

import (
	"strconv"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/apps"
)

// TestRollbackToDroppedConfig: a release whose config vars are no longer kept is nothing to
// go back to, and that is said; the newest ones are.
func TestRollbackToDroppedConfig(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 0}, "web")
	set := func(value string) daemon.Release {
		rel, err := d.Releases.SetConfig(t.Context(), apps.ConfigChange{App: "shop", Set: map[string]string{"A": value}, NoRestart: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return rel
	}
	for i := range daemon.KeptConfigs + 1 {
		set(strconv.Itoa(i))
	}
	_, err := d.Releases.Rollback(t.Context(), "shop", "", 2, nil)
	if err == nil || !strings.Contains(err.Error(), "config vars of v2 are no longer kept") {
		t.Errorf("back to v2: %v", err)
	}
	_, err = d.Releases.Retry(t.Context(), "shop", "", 3, nil)
	if err == nil || !strings.Contains(err.Error(), "serves already") {
		t.Errorf("v3 again: %v", err)
	}
	rel, err := d.Releases.Rollback(t.Context(), "shop", "", 20, nil)
	if err != nil || rel.Config["A"] != "17" {
		t.Errorf("back to v20: %v, %v", err, rel.Config)
	}
}
