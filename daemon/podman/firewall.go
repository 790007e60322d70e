package podman

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"towline/daemon"
)

// rules are what the firewall's table "inet towline" says of Towline's bridges, of
// whichever installation. All of it is one transaction, and changes nothing when repeated.
//
// The chain forward lets nothing pass from one of the bridges to another. Netavark's option
// "isolate" is not enough: up to 1.4 at least, the last container that leaves any such
// network takes down the jump to the rules of them all. What stays within a bridge is
// named in the set, for kernels that show it to the firewall.
//
// The chain outward lets nothing pass to where clouds tell a machine its secrets (link-local
// addresses, and those that some clouds have chosen besides), nor by IPv6, of which the
// networks have none but link-local. It is not the chain forward, which an installation of
// an earlier version on the same machine writes as well.
//
// The chain inward lets nobody begin a connection to a container from outside, who sends
// to its address by way of this machine: only the host itself does, which does not pass here.
//
// The chain input lets containers reach of the host what they need: its name server at
// the address of their own network, the ports that are open to everyone, and whatever the
// host itself has begun. The host's other services are often bound to all its addresses.
const rules = `
add table inet towline
add set inet towline bridges { typeof iifname . oifname; }
add set inet towline public { type inet_service; }
add chain inet towline forward { type filter hook forward priority filter - 10; }
flush chain inet towline forward
add rule inet towline forward iifname "tl-*" oifname "tl-*" iifname . oifname != @bridges counter drop
add chain inet towline outward { type filter hook forward priority filter - 10; }
flush chain inet towline outward
add rule inet towline outward iifname "tl-*" ip daddr { 169.254.0.0/16, 100.100.100.200, 168.63.129.16, 192.0.0.192 } counter drop
add rule inet towline outward iifname "tl-*" oifname != "tl-*" meta nfproto ipv6 counter drop
add chain inet towline inward { type filter hook forward priority filter - 10; }
flush chain inet towline inward
add rule inet towline inward iifname != "tl-*" oifname "tl-*" ct state != { established, related } counter drop
add chain inet towline input { type filter hook input priority filter - 10; }
flush chain inet towline input
add rule inet towline input iifname "tl-*" ct state established,related accept
add rule inet towline input iifname "tl-*" meta nfproto ipv4 meta l4proto { tcp, udp } th dport 53 fib daddr . iif type local accept
add rule inet towline input iifname "tl-*" meta nfproto ipv4 tcp dport @public accept
add rule inet towline input iifname "tl-*" counter drop
`

// firewall writes the rules, and knows what they are to say.
type firewall struct {
	*client
	containers  *containerEngine
	publicPorts []int

	ports    sync.Mutex // held while the script for the public ports is made
	lookedAt bool       // at those that an earlier start had opened

	restraining sync.Mutex // held while the answer rules are gathered and written
	restrained  *bool      // they name some address; nil: not written yet, who knows
}

// isolate sees to the rules, and that they know the bridges. Without them no container may
// start.
func (f *firewall) isolate(ctx context.Context, bridges ...string) error {
	if len(bridges) == 0 {
		return nil
	}
	script := rules
	for _, bridge := range bridges {
		script += fmt.Sprintf("add element inet towline bridges { %[1]q . %[1]q }\n", bridge)
	}
	return nft(ctx, script+f.openPorts(ctx))
}

// openPorts make the ports of this installation, whose name they have as their comment,
// those that everyone reaches now: an earlier start may have had others.
func (f *firewall) openPorts(ctx context.Context) (script string) {
	const element = "%s element inet towline public { %d%s }\n"
	f.ports.Lock()
	defer f.ports.Unlock()
	if !f.lookedAt {
		for _, port := range portsOf(ctx, f.name) {
			if !slices.Contains(f.publicPorts, port) {
				script += fmt.Sprintf(element, "add", port, "") + fmt.Sprintf(element, "delete", port, "")
			}
		}
		f.lookedAt = true
	}
	for _, port := range f.publicPorts {
		// Whatever comment it had before.
		script += fmt.Sprintf(element, "add", port, "") + fmt.Sprintf(element, "delete", port, "") +
			fmt.Sprintf(element, "add", port, fmt.Sprintf(" comment %q", f.name))
	}
	return script
}

// portsOf are the public ports that have the installation's name. Without a firewall there
// are none.
func portsOf(ctx context.Context, name string) (ports []int) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nft", "-j", "list", "set", "inet", "towline", "public").Output()
	if err != nil {
		return nil
	}
	var listed struct {
		Nftables []struct {
			Set struct{ Elem []json.RawMessage }
		}
	}
	if json.Unmarshal(out, &listed) != nil {
		return nil
	}
	for _, object := range listed.Nftables {
		for _, text := range object.Set.Elem {
			var port struct {
				Elem struct {
					Val     int
					Comment string
				}
			}
			if json.Unmarshal(text, &port) == nil && port.Elem.Comment == name {
				ports = append(ports, port.Elem.Val)
			}
		}
	}
	return ports
}

// forget removes a bridge that is gone from the rules.
func (f *firewall) forget(ctx context.Context, bridge string) error {
	// Adding it first makes its absence no error.
	return nft(ctx, rules+fmt.Sprintf("add element inet towline bridges { %[1]q . %[1]q }\ndelete element inet towline bridges { %[1]q . %[1]q }\n", bridge))
}

// answerRules are for the containers of add-ons, which are in the networks of all apps
// that they are attached to: they may answer there, and begin nothing. Otherwise one app
// could reach another through an add-on that both have. Within a bridge only the table of
// the bridges sees every packet, and not every kernel tracks connections there. A
// connection of TCP begins with a SYN alone; no other protocol passes. The name server is
// the host's, and is asked without passing here.
const answerRules = `
add table bridge towline
add set bridge towline %[1]s { type ether_addr; }
add chain bridge towline %[1]s { type filter hook forward priority filter; }
flush chain bridge towline %[1]s
add rule bridge towline %[1]s ether saddr @%[1]s ether type != { ip, arp } counter drop
add rule bridge towline %[1]s ether saddr @%[1]s ip protocol != tcp counter drop
add rule bridge towline %[1]s ether saddr @%[1]s tcp flags & (syn | ack) == syn counter drop
add rule bridge towline %[1]s ether saddr @%[1]s ip frag-off & 0x1fff != 0 counter drop
flush set bridge towline %[1]s
`

// restrain makes the answer rules hold for all of this installation's containers that only
// answer, and for the hardware addresses in more, which are about to be theirs. It is
// called with f.restraining held.
func (f *firewall) restrain(ctx context.Context, more ...string) error {
	list, err := f.containers.ContainerList(ctx, nil)
	if err != nil {
		return err
	}
	addresses := slices.Clone(more)
	for _, c := range list {
		if !daemon.OnlyAnswers(c.Labels) {
			continue
		}
		data, err := f.containers.inspect(ctx, c.Name)
		if errors.Is(err, daemon.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if data.NetworkSettings == nil {
			continue
		}
		for _, n := range data.NetworkSettings.Networks {
			if n != nil && n.MacAddress != "" {
				addresses = append(addresses, n.MacAddress)
			}
		}
	}
	set := "answers-" + f.name
	script := fmt.Sprintf(answerRules, set)
	some := len(addresses) > 0
	if !some { // the last one is gone
		script += fmt.Sprintf("delete chain bridge towline %[1]s\ndelete set bridge towline %[1]s\n", set)
	} else {
		script += fmt.Sprintf("add element bridge towline answers-%s { %s }\n", f.name, strings.Join(addresses, ", "))
	}
	if err := nft(ctx, script); err != nil {
		return err
	}
	f.restrained = &some
	return nil
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
