package podman

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/vishvananda/netlink"
)

// A bridge takes the lowest hardware address among its ports', unless it was given
// one, and Podman's network set-up (netavark, up to 1.6) gives none: the address
// that containers know their gateway by changes as others come and go. Containers
// learn of it when the machine next asks for theirs; until then, for up to a minute,
// what they send to it is lost: the answers to requests in flight. So the address
// that a bridge has when its first container is made ready is fixed, before the
// process in it starts.

// addressWasSet is the kernel's NET_ADDR_SET, as in /sys/class/net/NAME/addr_assign_type.
const addressWasSet = "3"

// fixBridge keeps the hardware address of a network's bridge as it is. It does what
// it can: without it the network works, but for the moments above.
func (e *Engine) fixBridge(ctx context.Context, name string) {
	c, err := e.call(ctx)
	if err != nil {
		return
	}
	found, err := network.Inspect(c, name, nil)
	if err != nil || found.NetworkInterface == "" {
		return
	}
	how, err := os.ReadFile(filepath.Join("/sys/class/net", found.NetworkInterface, "addr_assign_type"))
	if err != nil || string(bytes.TrimSpace(how)) == addressWasSet {
		return
	}
	link, err := netlink.LinkByName(found.NetworkInterface)
	if err != nil || link.Type() != "bridge" {
		return
	}
	_ = netlink.LinkSetHardwareAddr(link, link.Attrs().HardwareAddr)
}
