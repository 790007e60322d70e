package podman

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
)

// bridgePrefix begins the name of every bridge of Towline's, of whichever
// installation.
const bridgePrefix = "tl-"

// bridgeName is the interface of a network: 15 bytes, which is all that Linux takes.
func bridgeName(network string) string {
	sum := sha256.Sum256([]byte(network))
	return bridgePrefix + strings.ToLower(base32.HexEncoding.EncodeToString(sum[:])[:12])
}

// addressWasSet is the kernel's NET_ADDR_SET, as in /sys/class/net/NAME/addr_assign_type.
const addressWasSet = "3"

// fixAddress keeps a bridge's hardware address as it is. A bridge takes the lowest
// among its ports', unless it was given one, and netavark, up to 1.6, gives none: the
// address that containers know their gateway by changes as others come and go.
// Containers learn of it when the machine next asks for theirs; until then, for up to
// a minute, what they send to it is lost: the answers to requests in flight. It does
// what it can: without it the network works, but for those moments.
func fixAddress(bridge string) {
	how, err := os.ReadFile(filepath.Join("/sys/class/net", bridge, "addr_assign_type"))
	if err != nil || string(bytes.TrimSpace(how)) == addressWasSet {
		return
	}
	link, err := netlink.LinkByName(bridge)
	if err != nil || link.Type() != "bridge" {
		return
	}
	_ = netlink.LinkSetHardwareAddr(link, link.Attrs().HardwareAddr)
}
