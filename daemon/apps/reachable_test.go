package apps

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"towline/daemon"
	"towline/daemon/container"
)

// listener is an engine whose processes listen where at says, that long after their start.
type listener struct {
	daemon.Engine
	began time.Time
	at    func(after time.Duration) string
}

func (l listener) Listeners(context.Context, string) ([]netip.AddrPort, error) {
	if at := l.at(time.Since(l.began)); at != "" {
		return []netip.AddrPort{netip.MustParseAddrPort(at)}, nil
	}
	return nil, nil
}

// TestWhileReachable: what can't come to be is not waited for, and what may is told of, once.
func TestWhileReachable(t *testing.T) {
	always := func(at string) func(time.Duration) string { return func(time.Duration) string { return at } }
	later := func(at string) func(time.Duration) string {
		return func(after time.Duration) string {
			if after < 4*time.Second { // seen once
				return at
			}
			return "0.0.0.0:5000"
		}
	}
	for name, c := range map[string]struct {
		at    func(time.Duration) string
		ended bool
		said  string
	}{
		"where it should":     {always("0.0.0.0:5000"), false, ""},
		"nowhere":             {always(""), false, ""},
		"loopback":            {always("127.0.0.1:5000"), true, ""},
		"loopback, at first":  {later("127.0.0.1:5000"), false, ""},
		"elsewhere":           {always("0.0.0.0:3000"), false, "web.1 is waited for: so far it listens on port 3000, and not on $PORT, which is 5000"},
		"elsewhere, at first": {later("0.0.0.0:3000"), false, ""},
		"its own, elsewhere":  {always("127.0.0.1:3000"), false, "web.1 is waited for: so far it listens on 127.0.0.1:3000"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := listener{began: time.Now(), at: c.at}
				ps := &Processes{base: &base{Options: Options{Engine: engine, Containers: &container.Containers{}}}}
				var said bytes.Buffer
				labels := map[string]string{daemon.LabelApp: "shop", daemon.LabelPort: "5000"}
				wait, end := ps.whileReachable(t.Context(), []daemon.ContainerSpec{
					{Name: "shop.web.1", Labels: labels}, {Name: "shop.web.1", Labels: labels},
				}, &said)
				time.Sleep(20 * time.Second)
				if ended := wait.Err() != nil; ended != c.ended {
					t.Errorf("the wait has ended: %t", ended)
				}
				end()
				if n := strings.Count(said.String(), "is waited for"); !strings.Contains(said.String(), c.said) || n > 1 || (n == 0) != (c.said == "") {
					t.Errorf("says %q", said.String())
				}
			})
		})
	}
}
