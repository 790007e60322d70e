package machine_test

import (
	"bytes"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/apps"
)

// TestPortOfConfig: the config var PORT is where the proxy finds the web process, and a
// change says so.
func TestPortOfConfig(t *testing.T) {
	n := newNeighbours()
	d := newDaemon(t, n)
	deployed(t, d, n, "shop", daemon.Formation{"web": 1}, "web")
	for _, c := range []struct {
		change    apps.ConfigChange
		at, words string
	}{
		{apps.ConfigChange{App: "shop", Set: map[string]string{"A": "1"}}, ":5000", ""},
		{apps.ConfigChange{App: "shop", Set: map[string]string{"PORT": "8080"}}, ":8080", "on port 8080: the config var PORT"},
		{apps.ConfigChange{App: "shop", Unset: []string{"PORT"}}, ":5000", ""},
	} {
		var out bytes.Buffer
		if _, err := d.Releases.SetConfig(t.Context(), c.change, &out); err != nil {
			t.Fatal(err)
		}
		n.mu.Lock()
		targets := n.routes["shop"].Targets
		n.mu.Unlock()
		if len(targets) != 1 || !strings.HasSuffix(targets[0].Address, c.at) || !strings.Contains(out.String(), c.words) || c.words == "" && strings.Contains(out.String(), "on port") {
			t.Errorf("%+v: %v, %s", c.change, targets, &out)
		}
	}
	for _, value := range []string{"", "x", "0", "65536", "80 "} {
		_, err := d.Releases.SetConfig(t.Context(), apps.ConfigChange{App: "shop", Set: map[string]string{"PORT": value}}, nil)
		if !daemon.IsKind(err, daemon.Invalid) {
			t.Errorf("PORT=%q: %v", value, err)
		}
	}
}
