package podman_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/podman"
)

func TestListening(t *testing.T) {
	got := podman.Listening(strings.NewReader("  sl  local_address rem_address   st tx_queue\n" +
		"   0: 0100007F:1388 00000000:0000 0A 00000000:00000000\n" +
		"   1: 00000000:0050 00000000:0000 0A 00000000:00000000\n" +
		"   2: 0100007F:9999 0100007F:1388 01 00000000:00000000\n" +
		"   3: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 0\n" +
		"   4: 0000000000000000FFFF00000100007F:0BB9 00000000000000000000000000000000:0000 0A 0\n" +
		"   5: zz:1 0 0A\n   6: 00:0050 x 0A\n   7\n"))
	want := []netip.AddrPort{
		netip.MustParseAddrPort("127.0.0.1:5000"), netip.MustParseAddrPort("0.0.0.0:80"),
		netip.MustParseAddrPort("[::1]:3000"), netip.MustParseAddrPort("127.0.0.1:3001"),
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestListeners(t *testing.T) {
	e := newEngine(t)
	c := started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{attached(newNetwork(t, e))}}, "serve", "7000")
	var list []netip.AddrPort
	for deadline := time.Now().Add(20 * time.Second); len(list) == 0 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var err error
		if list, err = e.Listeners(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if len(list) != 1 || list[0].Port() != 7000 || !list[0].Addr().IsUnspecified() {
		t.Errorf("%v", list)
	}
	if err := e.StopContainer(t.Context(), c, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Listeners(t.Context(), c); !daemon.IsKind(err, daemon.Conflict) {
		t.Errorf("once it has stopped: %v", err)
	}
	if _, err := e.Listeners(t.Context(), c+"-none"); !daemon.IsKind(err, daemon.NotFound) {
		t.Errorf("of none: %v", err)
	}
}
