package podman_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings"
	"github.com/containers/podman/v5/pkg/bindings/network"

	"towline/daemon"
	"towline/daemon/podman"
)

func gatewayOf(t *testing.T, name string) string {
	t.Helper()
	c, err := bindings.NewConnection(t.Context(), "unix://"+socket)
	if err != nil {
		t.Fatal(err)
	}
	found, err := network.Inspect(c, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return found.Subnets[0].Gateway.String()
}

func attached(n string, aliases ...string) daemon.Attachment {
	return daemon.Attachment{Network: n, Aliases: aliases}
}

// answering listens at an address of this machine's, and returns the port.
func answering(t *testing.T, address string) string {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "host")
			conn.Close()
		}
	}()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

func TestContainersReachOfTheHostOnlyTheirNameServer(t *testing.T) {
	e := newEngine(t)
	left, right := newNetwork(t, e), newNetwork(t, e)
	c := started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{attached(left, "me")}}, "sleep")
	other := started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{attached(right, "secret")}}, "serve", "7000")
	port := answering(t, ":0") // all addresses, as many services are
	own, far := gatewayOf(t, left), gatewayOf(t, right)
	hosts := []string{own, far}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if ip := a.(*net.IPNet).IP; ip.IsGlobalUnicast() && ip.To4() != nil {
			hosts = append(hosts, ip.String())
		}
	}
	bridge, err := net.InterfaceByName(bridgeOf(t, left))
	if err != nil {
		t.Fatal(err)
	}
	local, err := bridge.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range local {
		if ip := a.(*net.IPNet).IP; ip.IsLinkLocalUnicast() {
			hosts = append(hosts, ip.String()+"%eth0")
		}
	}
	for _, host := range hosts {
		if out, ok := probe(t, e, c, "dial", net.JoinHostPort(host, port)); ok {
			t.Errorf("%s of the host answers: %q", host, out)
		}
	}

	within(t, time.Minute, "own name server", func() bool {
		_, ok := probe(t, e, c, "query", own+":53", "me.dns.podman")
		return ok
	})
	within(t, time.Minute, "the other's own name server", func() bool {
		_, ok := probe(t, e, other, "query", far+":53", "secret.dns.podman")
		return ok
	})
	for _, name := range []string{"secret.dns.podman", "secret"} {
		if out, ok := probe(t, e, c, "query", far+":53", name); ok {
			t.Errorf("the name server of another network answers: %q", out)
		}
	}

	// What the host begins is answered: the proxy's way to the apps.
	got, err := e.Container(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	within(t, time.Minute, "the host reaches a container", func() bool {
		conn, err := net.DialTimeout("tcp", got.Addresses[right]+":7000", time.Second)
		if err != nil {
			return false
		}
		defer conn.Close()
		answer, err := io.ReadAll(conn)
		return err == nil && len(answer) > 0
	})

	// An app calls another by its public address.
	public, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	open, err := podman.New(t.Context(), podman.Options{Address: "unix://" + socket, Name: run, PublicPorts: []int{public}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nft(t, fmt.Sprintf("delete element inet towline public { %d }", public)) })
	started(t, open, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{attached(left)}}, "sleep")
	if out, ok := probe(t, e, c, "dial", net.JoinHostPort(own, port)); !ok || out != "host" {
		t.Errorf("a public port: %q", out)
	}
}

// A port that the configuration no longer names is closed to containers by the next start, and
// those of other installations stay.
func TestPublicPortsFollowTheConfiguration(t *testing.T) {
	newEngine(t) // skips where there is no Podman
	open := func(name string, ports ...int) *podman.Engine {
		t.Helper()
		e, err := podman.New(t.Context(), podman.Options{Address: "unix://" + socket, Name: name, PublicPorts: ports})
		if err != nil {
			t.Fatal(err)
		}
		const bridge = "tl-ports"
		for range 2 {
			if err := e.Isolate(t.Context(), bridge); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() {
			if err := e.Forget(context.Background(), bridge); err != nil {
				t.Error(err)
			}
			for _, port := range ports {
				nft(t, fmt.Sprintf("add element inet towline public { %[1]d }\ndelete element inet towline public { %[1]d }", port))
			}
		})
		return e
	}
	has := func(port int) bool {
		out, err := exec.Command("nft", "list", "set", "inet", "towline", "public").Output()
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(out, []byte(strconv.Itoa(port)+" comment"))
	}
	open(run, 61001, 61002)
	open(run+"x", 61003)
	open(run, 61002, 61004)
	for port, want := range map[int]bool{61001: false, 61002: true, 61003: true, 61004: true} {
		if has(port) != want {
			t.Errorf("port %d is open: %v", port, !want)
		}
	}
}

// A network namespace stands for what is beyond the machine: a server of the internet's, and
// the service by which clouds tell a machine its secrets.
func TestContainersReachTheInternetAndNoMetadata(t *testing.T) {
	e := newEngine(t)
	const internet, local, metadata = "198.51.100.77", "169.254.77.77", "100.100.100.200"
	ns := run + "-net"
	ip(t, "netns", "add", ns)
	t.Cleanup(func() { ip(t, "netns", "delete", ns) }) // with the pair of interfaces
	ip(t, "link", "add", "tlv-out", "type", "veth", "peer", "name", "tlv-in", "netns", ns)
	ip(t, "address", "add", "192.0.2.1/30", "dev", "tlv-out")
	ip(t, "link", "set", "tlv-out", "up")
	ip(t, "-n", ns, "address", "add", "192.0.2.2/30", "dev", "tlv-in")
	ip(t, "-n", ns, "link", "set", "tlv-in", "up")
	ip(t, "-n", ns, "link", "set", "lo", "up")
	ip(t, "-n", ns, "route", "add", "default", "via", "192.0.2.1")
	for _, address := range []string{internet, local, metadata} {
		ip(t, "-n", ns, "address", "add", address+"/32", "dev", "lo")
		ip(t, "route", "add", address+"/32", "via", "192.0.2.2", "dev", "tlv-out")
	}
	server := exec.Command("ip", "netns", "exec", ns, probeOnHost(t), "serve", "7000")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	for _, address := range []string{internet, local, metadata} {
		within(t, time.Minute, address+" answers the host", func() bool {
			conn, err := net.DialTimeout("tcp", address+":7000", time.Second)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
	c := started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{attached(newNetwork(t, e))}}, "sleep")
	within(t, time.Minute, "a server of the internet's", func() bool {
		_, ok := probe(t, e, c, "dial", internet+":7000")
		return ok
	})
	for _, address := range []string{local, metadata} {
		if out, ok := probe(t, e, c, "dial", address+":7000"); ok {
			t.Errorf("%s answers: %q", address, out)
		}
	}
}

// An add-on that two apps share must not lead from one to the other.
func TestSharedAddonOnlyAnswers(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	first, second, late := newNetwork(t, e), newNetwork(t, e), newNetwork(t, e)
	addon := daemon.ContainerSpec{Init: true, Hostname: "addon", Labels: map[string]string{"towline.kind": "addon"}}
	addon.Networks = []daemon.Attachment{attached(first, "db"), attached(second, "db")}
	db := started(t, e, addon, "serve", "6379")
	var addresses []string
	apps := map[string]string{}
	for _, n := range []string{first, second, late} {
		app := started(t, e, daemon.ContainerSpec{Init: true, Hostname: "app", Networks: []daemon.Attachment{attached(n)}}, "serve", "5000")
		got, err := e.Container(ctx, app)
		if err != nil {
			t.Fatal(err)
		}
		apps[n] = app
		addresses = append(addresses, got.Addresses[n]+":5000")
	}
	worker := started(t, e, daemon.ContainerSpec{Init: true, Networks: []daemon.Attachment{attached(first)}}, "sleep")
	within(t, time.Minute, "processes of one app reach each other", func() bool {
		out, _ := probe(t, e, worker, "dial", addresses[0])
		return out == "app"
	})
	check := func(when string, networks ...string) {
		t.Helper()
		for i, n := range networks {
			within(t, time.Minute, when+": the add-on answers", func() bool {
				out, _ := probe(t, e, apps[n], "dial", "db:6379")
				return out == "addon"
			})
			if out, ok := probe(t, e, db, "dial", addresses[i]); ok {
				t.Errorf("%s: from the add-on an app's process answers: %q", when, out)
			}
		}
		if out, ok := probe(t, e, db, "datagram", strings.TrimSuffix(addresses[0], ":5000")); ok {
			t.Errorf("%s: a datagram from the add-on was answered: %q", when, out)
		}
	}
	check("started", first, second)
	if err := e.Connect(ctx, late, db, []string{"db"}); err != nil {
		t.Fatal(err)
	}
	check("attached", first, second, late)
	if err := e.StopContainer(ctx, db, time.Second); err != nil {
		t.Fatal(err)
	}
	if err := e.StartContainer(ctx, db); err != nil {
		t.Fatal(err)
	}
	check("restarted", first, second, late)

	// With the last add-on its rules go.
	own := newNetwork(t, e)
	list := exec.Command("nft", "list", "chain", "bridge", "towline", "answers-"+run)
	if out, err := list.CombinedOutput(); err != nil {
		t.Fatalf("no rules: %v: %s", err, out)
	}
	if err := errors.Join(e.RemoveContainer(ctx, db), e.RemoveNetwork(ctx, own)); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"chain", "set"} {
		if out, err := exec.Command("nft", "list", kind, "bridge", "towline", "answers-"+run).CombinedOutput(); err == nil {
			t.Errorf("left behind: %s", out)
		}
	}
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
}

func nft(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("nft", script).CombinedOutput(); err != nil {
		t.Errorf("nft %s: %v: %s", script, err, bytes.TrimSpace(out))
	}
}
