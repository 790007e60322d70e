package doctor

import (
	"net"
	"os"
	"strings"
	"testing"
)

// TestThisMachine has the real facts, of the machine that the test runs on.
func TestThisMachine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	m := Machine{User: "nobody", Keys: "/keys", Addresses: []string{l.Addr().String(), "127.0.0.1:1"}, Dirs: map[string][]string{dir: {"state"}, dir + "/absent": {"logs"}}}
	f := m.Facts()
	ports, err := f.Ports(t.Context())
	if err != nil || len(ports) != 2 || len(ports[0].Holders) != 1 || len(ports[1].Holders) != 0 {
		t.Errorf("ports: %+v, %v", ports, err)
	}
	if program, _ := os.ReadFile("/proc/self/comm"); !strings.HasPrefix(ports[0].Holders[0], strings.TrimSpace(string(program))+" (") {
		t.Errorf("held by %v", ports[0].Holders)
	}
	disks, err := f.Disks(t.Context())
	if err != nil || len(disks) != 1 || disks[0].Size == 0 || disks[0].Free == 0 {
		t.Errorf("disks: %+v, %v", disks, err)
	}
	if c, err := f.Cgroup(t.Context()); err != nil || c.Version == 0 || len(c.Controllers) == 0 {
		t.Errorf("cgroup: %+v, %v", c, err)
	}
	if release, err := f.Kernel(t.Context()); err != nil || older(release, "4") {
		t.Errorf("kernel: %q, %v", release, err)
	}
	if mem, err := MachineMemory(); err != nil || mem.Total < mem.Available || mem.Available == 0 {
		t.Errorf("memory: %+v, %v", mem, err)
	}
	if own, err := f.Addresses(t.Context()); err != nil || len(own) == 0 {
		t.Errorf("addresses: %v, %v", own, err)
	}
	if _, err := f.Clock(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := f.Reboot(t.Context()); err != nil {
		t.Error(err)
	}
}
