package podman_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"towline/daemon"
)

func TestSafeByDefault(t *testing.T) {
	e := newEngine(t)
	t.Setenv("HTTP_PROXY", "http://host.test")
	for _, test := range []struct {
		what string
		spec daemon.ContainerSpec
		want string
		verb []string
	}{
		{"no new privileges", daemon.ContainerSpec{}, "1", []string{"status", "NoNewPrivs"}},
		{"new privileges", daemon.ContainerSpec{AllowNewPrivileges: true}, "0", []string{"status", "NoNewPrivs"}},
		{"seccomp filter", daemon.ContainerSpec{}, "2", []string{"status", "Seccomp"}},
		{"unconfined", daemon.ContainerSpec{Unconfined: true}, "0", []string{"status", "Seccomp"}},
		{"no capabilities", daemon.ContainerSpec{User: "root", CapDrop: []string{"ALL"}}, "0000000000000000", []string{"status", "CapEff"}},
		{"one capability", daemon.ContainerSpec{User: "root", CapDrop: []string{"ALL"}, CapAdd: []string{"NET_BIND_SERVICE"}}, "0000000000000400", []string{"status", "CapEff"}},
		{"image's user", daemon.ContainerSpec{}, "1000\t1000\t1000\t1000", []string{"status", "Uid"}},
		{"own user", daemon.ContainerSpec{User: "0:0"}, "0\t0\t0\t0", []string{"status", "Uid"}},
		{"umask", daemon.ContainerSpec{}, "0022", []string{"status", "Umask"}},
		{"init", daemon.ContainerSpec{Init: true}, "podman-init", []string{"link"}},
		{"no init", daemon.ContainerSpec{}, "1", []string{"parent"}},
		{"environment", daemon.ContainerSpec{Env: map[string]string{"A": "x y=z"}}, "x y=z\n", []string{"env", "A"}},
		{"image's environment", daemon.ContainerSpec{}, "red=blue\n", []string{"env", "COLOUR"}},
		{"nothing of the host's environment", daemon.ContainerSpec{}, "\n", []string{"env", "HTTP_PROXY"}},
		{"tmpfs", daemon.ContainerSpec{ReadOnly: true, Mounts: []daemon.Mount{{Target: "/scratch"}}}, "ok", []string{"write", "/scratch/x", "ok", "read", "/scratch/x"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			c := create(t, e, test.spec, test.verb...)
			if out, errs, code := output(t, e, c); out != test.want || code != 0 {
				t.Errorf("got %q, %q, code %d; want %q", out, errs, code, test.want)
			}
		})
	}
}

func TestReadOnlyRoot(t *testing.T) {
	e := newEngine(t)
	c := create(t, e, daemon.ContainerSpec{ReadOnly: true, User: "root"}, "write", "/x", "no")
	if out, errs, code := output(t, e, c); code != 9 || !strings.Contains(errs, "read-only") {
		t.Errorf("%q, %q, %d", out, errs, code)
	}
}

func TestIDMap(t *testing.T) {
	e := newEngine(t)
	dir := t.TempDir()
	const first = 300_000
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, first, first); err != nil {
		t.Fatal(err)
	}
	c := create(t, e, daemon.ContainerSpec{
		IDMap: first, User: "root", CapDrop: []string{"ALL"}, NoNetwork: true,
		Mounts: []daemon.Mount{{Source: dir, Target: "/work"}, {Target: "/scratch"}},
	}, "read", "/proc/self/uid_map", "write", "/work/x", "mine", "write", "/scratch/x", "")
	out, errs, code := output(t, e, c)
	if code != 0 || strings.Join(strings.Fields(out), " ") != "0 300000 65536" {
		t.Fatalf("%q, %q, %d", out, errs, code)
	}
	info, err := os.Stat(filepath.Join(dir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := ownerOf(info); owner != first {
		t.Errorf("file belongs to %d", owner)
	}
}

func TestHostNetworkReachesLoopback(t *testing.T) {
	e := newEngine(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("host"))
			conn.Close()
		}
	}()
	for _, test := range []struct {
		spec daemon.ContainerSpec
		want string
		code int
	}{
		{daemon.ContainerSpec{HostNetwork: true}, "host", 0},
		{daemon.ContainerSpec{HostNetwork: true, IDMap: 300_000, CapDrop: []string{"ALL"}}, "host", 0},
		{daemon.ContainerSpec{NoNetwork: true}, "", 9},
		{daemon.ContainerSpec{}, "", 9},
	} {
		c := create(t, e, test.spec, "dial", listener.Addr().String())
		if out, errs, code := output(t, e, c); out != test.want || code != test.code {
			t.Errorf("%+v: %q, %q, %d", test.spec, out, errs, code)
		}
	}
}

// A machine that lacks a controller drops the limit with a warning. That the
// kernel killed for memory (OOMKilled) is not checked: Podman's monitor cannot
// see it everywhere.
func TestLimits(t *testing.T) {
	e := newEngine(t)
	if !controller("pids") || !controller("memory") {
		t.Skip("needs the kernel's memory and pids controllers")
	}
	c := create(t, e, daemon.ContainerSpec{Limits: daemon.Limits{Pids: 20}}, "pids")
	if out, errs, _ := output(t, e, c); !strings.Contains(out+errs, "refused") && !strings.Contains(errs, "newosproc") {
		t.Errorf("pids: %q, %q", out, errs)
	}
	c = create(t, e, daemon.ContainerSpec{Limits: daemon.Limits{Memory: 32 << 20, CPU: 0.5}}, "eat", strconv.Itoa(256<<20))
	out, _, code := output(t, e, c)
	if code != 137 || out != "" {
		t.Errorf("memory: %q, code %d", out, code)
	}
	c = create(t, e, daemon.ContainerSpec{Limits: daemon.Limits{Background: true}}, "out", "x")
	if out, err := exec.Command("podman", "inspect", "--format", "{{.HostConfig.CpuShares}}", c).CombinedOutput(); err != nil || string(out) != "128\n" {
		t.Errorf("background: %q, %v", out, err)
	}
}
