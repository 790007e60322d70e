package podman_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings"
	"github.com/containers/podman/v5/pkg/bindings/network"

	"towline/daemon"
)

// What a container sends to the machine must arrive while others come and go.
func TestBridgeKeepsItsAddress(t *testing.T) {
	e := newEngine(t)
	left, right := newNetwork(t, e), newNetwork(t, e)
	member := func(n string) string {
		return started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{{Network: n}}}, "sleep")
	}
	members := []string{member(left)}
	guest := member(right)
	bridge := bridgeOf(t, left)
	first := hardwareAddress(t, bridge)
	// Each new port has the lowest address of all with a fair chance.
	for range 5 {
		members = append(members, member(left))
	}
	if err := e.Connect(t.Context(), left, guest, nil); err != nil {
		t.Fatal(err)
	}
	if now := hardwareAddress(t, bridge); now != first {
		t.Errorf("with more containers: %s, was %s", now, first)
	}
	// The first to go is the one that the address came from.
	for _, name := range members[:5] {
		if err := e.RemoveContainer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if now := hardwareAddress(t, bridge); now != first {
		t.Errorf("with fewer containers: %s, was %s", now, first)
	}
	how, err := os.ReadFile(filepath.Join("/sys/class/net", bridge, "addr_assign_type"))
	if err != nil || strings.TrimSpace(string(how)) != "3" {
		t.Errorf("addr_assign_type %s, %v", how, err)
	}
}

func bridgeOf(t *testing.T, name string) string {
	t.Helper()
	c, err := bindings.NewConnection(t.Context(), "unix://"+socket)
	if err != nil {
		t.Fatal(err)
	}
	found, err := network.Inspect(c, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return found.NetworkInterface
}

func hardwareAddress(t *testing.T, bridge string) string {
	t.Helper()
	i, err := net.InterfaceByName(bridge)
	if err != nil {
		t.Fatal(err)
	}
	return i.HardwareAddr.String()
}
