package addons

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"towline/daemon"
	"towline/daemon/container"
)

// traffic counts the connections into each add-on.
type traffic struct {
	mu   sync.Mutex
	open map[string]int
	told map[string]time.Time // member and add-on -> when that was last recorded
}

// Forward is a port of an add-on that a member may reach.
type Forward struct {
	Addon    string `json:"addon"`
	PortName string `json:"port_name"`
	Port     int    `json:"port"`

	addon daemon.Addon
}

// ForwardTo looks up a port by its name in the manifest; a service that has one needs
// no name.
func (ts *Tunnels) ForwardTo(ctx context.Context, name, port string) (Forward, error) {
	addon, err := ts.readyAddon(ctx, name)
	if err != nil {
		return Forward{}, err
	}
	m, err := ts.Service(addon.Service)
	if err != nil {
		return Forward{}, err
	}
	ports := map[string]int{}
	for _, p := range m.Ports {
		ports[p.Name] = p.Port
	}
	names := slices.Sorted(maps.Keys(ports))
	if port == "" && len(names) == 1 {
		port = names[0]
	}
	hint := "there are: " + strings.Join(names, ", ")
	switch {
	case len(names) == 0:
		return Forward{}, daemon.Errorf(daemon.Conflict, "%s has no port", addon.Service)
	case port == "":
		return Forward{}, daemon.Errorf(daemon.Invalid, "%s has %d ports", addon.Service, len(names)).WithHint("choose one by --port-name; %s", hint)
	case ports[port] == 0:
		return Forward{}, daemon.Errorf(daemon.Invalid, "%s has no port %q", addon.Service, daemon.Clip(port)).WithHint("%s", hint)
	}
	if _, err := ts.services.addonAddress(ctx, addon); err != nil {
		return Forward{}, err
	}
	return Forward{Addon: name, PortName: port, Port: ports[port], addon: addon}, nil
}

// Tunnel leads one connection: what is read goes to the service's port, and what comes
// from there is written, until the service ends it. The end of the input is passed on.
func (ts *Tunnels) Tunnel(ctx context.Context, f Forward, member string, in io.Reader, out io.Writer) error {
	if !ts.traffic.enter(f.Addon) {
		return daemon.Errorf(daemon.Unavailable, "%d connections are forwarded to %s already", maxTunnels, f.Addon).WithHint("close some first")
	}
	defer ts.traffic.leave(f.Addon)
	ip, err := ts.services.addonAddress(ctx, f.addon)
	if err != nil {
		return err
	}
	if ts.traffic.news(member, f.Addon) {
		err := ts.Store.Update(ctx, func(tx daemon.Tx) error {
			return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.AddonConnected, App: f.addon.App, Subject: f.Addon, Text: fmt.Sprintf("connected to port %s of the add-on %s", f.PortName, f.Addon)})
		})
		if err != nil {
			return err
		}
	}
	conn, err := container.Dialer.DialContext(ctx, "tcp", net.JoinHostPort(ip, strconv.Itoa(f.Port)))
	if err != nil {
		return daemon.Errorf(daemon.Unavailable, "%s does not answer on its port %s: %w", f.Addon, f.PortName, err).WithHint("towline addons:logs %s", f.Addon)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go func() {
		defer daemon.Contain("a forwarded connection", nil)
		if _, err := io.Copy(conn, in); err != nil {
			conn.Close() // the caller is gone, or the service does not listen
			return
		}
		if half, ok := conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	}()
	_, err = io.Copy(out, conn)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return daemon.Errorf(daemon.Failed, "the connection to %s broke: %w", f.Addon, err)
	}
	return nil
}

func (t *traffic) enter(addon string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[addon] >= maxTunnels {
		return false
	}
	if t.open == nil {
		t.open = map[string]int{}
	}
	t.open[addon]++
	return true
}

func (t *traffic) leave(addon string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[addon]--; t.open[addon] == 0 {
		delete(t.open, addon)
	}
}

// news tells whether a member's use of an add-on is worth a line: one an hour is, and
// not each of a pool's connections.
func (t *traffic) news(member, addon string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.told, func(_ string, at time.Time) bool { return time.Since(at) > time.Hour })
	key := member + " " + addon
	if _, told := t.told[key]; told {
		return false
	}
	if t.told == nil {
		t.told = map[string]time.Time{}
	}
	t.told[key] = time.Now()
	return true
}
