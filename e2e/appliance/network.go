package appliance

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
)

// network is what lies between this machine and a guest: one device, 10.78.N.1 here and
// 10.78.N.2 there.
type network struct {
	name string // at most 10 letters, from which those of devices and tables are made
	n    byte
}

func newNetwork(p Plan) network {
	return network{fmt.Sprintf("tl%d%s", p.Net, p.Suite[:3]), p.Net}
}

func (w network) Addr() netip.Addr    { return netip.AddrFrom4([4]byte{10, 78, w.n, 2}) }
func (w network) Gateway() netip.Addr { return netip.AddrFrom4([4]byte{10, 78, w.n, 1}) }

func (w network) device() string { return "v" + w.name }
func (w network) table() string  { return "towline-appliance-" + w.name }

// masquerade lets the guest reach what this machine reaches, for apt.
func (w network) masquerade(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`table ip %[1]s
delete table ip %[1]s
table ip %[1]s { chain post { type nat hook postrouting priority 100; ip saddr %[2]s oifname != %[3]q masquerade; }; }
`, w.table(), w.Addr(), w.device()))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}

// ip has ip(8) do one thing after the other.
func (w network) ip(ctx context.Context, lines ...string) error {
	for _, words := range lines {
		if err := run(ctx, "ip", strings.Fields(words)...); err != nil {
			return err
		}
	}
	return nil
}

func (w network) clear(ctx context.Context) error {
	_ = run(ctx, "ip", "link", "del", w.device())
	return run(ctx, "nft", "delete", "table", "ip", w.table())
}
