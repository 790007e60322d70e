package podman

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"towline/daemon"
)

// bridgePrefix begins the name of every bridge of Towline's, of whichever
// installation.
const bridgePrefix = "tl-"

// bridgeName is the interface of a network: 15 bytes, which is all that Linux takes.
func bridgeName(network string) string {
	sum := sha256.Sum256([]byte(network))
	return bridgePrefix + strings.ToLower(base32.HexEncoding.EncodeToString(sum[:])[:12])
}

// prepareBridge does, before the process of a container starts, what Podman's set-up
// of a network leaves undone.
func prepareBridge(ctx context.Context, network string) error {
	bridge := bridgeName(network)
	if err := isolate(ctx, bridge); err != nil {
		return err
	}
	fixAddress(bridge)
	return nil
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

// rules let nothing pass from one of Towline's bridges to another. Netavark's option
// "isolate" is not enough: up to 1.4 at least, the last container that leaves any such
// network takes down the jump to the rules of them all. What stays within a bridge is
// named in the set, for kernels that show it to the firewall. All of it is one
// transaction, and changes nothing when repeated.
const rules = `
add table inet towline
add set inet towline bridges { typeof iifname . oifname; }
add chain inet towline forward { type filter hook forward priority filter - 10; }
flush chain inet towline forward
add rule inet towline forward iifname "tl-*" oifname "tl-*" iifname . oifname != @bridges counter drop
add element inet towline bridges { %[1]q . %[1]q }
`

// isolate sees to the rules. Without them no container may start.
func isolate(ctx context.Context, bridge string) error {
	return nft(ctx, fmt.Sprintf(rules, bridge))
}

// forget removes a bridge that is gone from the rules.
func forget(ctx context.Context, bridge string) error {
	// Adding it first makes its absence no error.
	return nft(ctx, fmt.Sprintf(rules+"delete element inet towline bridges { %[1]q . %[1]q }\n", bridge))
}

func nft(ctx context.Context, script string) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return daemon.Errorf(daemon.Failed, "keep networks apart: %w: %s", err, bytes.TrimSpace(out)).
		WithHint("Towline needs nft, of the package nftables, and a kernel with nf_tables")
}
