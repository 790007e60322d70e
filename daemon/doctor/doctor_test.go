package doctor

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

var at = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// says makes a fact out of a value.
func says[T any](v T) func(context.Context) (T, error) {
	return func(context.Context) (T, error) { return v, nil }
}

func fails[T any](text string) func(context.Context) (T, error) {
	return func(context.Context) (v T, err error) { return v, errors.New(text) }
}

const gib = int64(1) << 30

// TestChecks has a line for each way that each check may end.
func TestChecks(t *testing.T) {
	own := says([]netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("127.0.0.1")})
	names := func(_ context.Context, host string) ([]netip.Addr, error) {
		known := map[string]string{"here.example.com": "192.0.2.7", "towline-doctor.wild.example.com": "192.0.2.7", "there.example.com": "198.51.100.1"}
		if a := known[host]; a != "" {
			return []netip.Addr{netip.MustParseAddr(a)}, nil
		}
		return nil, errors.New("no such host")
	}
	dns := func(hosts ...string) Facts {
		return Facts{Domains: says(hosts), Resolve: names, Addresses: own}
	}
	certificate := func(c daemon.Certificate) Facts {
		c.Host = "www.example.com"
		return Facts{Certificates: says([]daemon.Certificate{c})}
	}
	ssh := SSHD{User: "towline", Keys: "/var/lib/towline/ssh/authorized_keys", Reads: []string{"/var/lib/towline/ssh/authorized_keys"}}
	withSSH := func(f func(*SSHD)) Facts { s := ssh; f(&s); return Facts{SSHD: says(s)} }
	disk := Disk{Path: "/var/lib/towline", For: []string{"state"}, Size: 100 * gib, Free: 50 * gib, Inodes: 1000, InodesFree: 500, Reserve: 2 * gib}
	withDisk := func(f func(*Disk)) Facts {
		d := disk
		f(&d)
		return Facts{Disks: says([]Disk{d}), Holders: says([]string{"backups of shop-db: 40 GiB"})}
	}
	memory := func(m Memory) Facts { m.Total, m.Available = 8*gib, 4*gib; return Facts{Memory: says(m)} }
	unit := func(u Unit) Facts { return Facts{Units: says([]Unit{u})} }
	port := func(holders ...string) Facts { return Facts{Ports: says([]Port{{":443", holders}})} }
	backup := func(h Backups) Facts {
		h.Addon = "shop-db"
		return Facts{Backups: says([]Backups{h})}
	}

	for _, c := range []struct {
		id    string
		facts Facts
		want  Status
		text  string // in what was found, or is to be typed
	}{
		{"daemon", Facts{Daemon: says("1.0")}, OK, "towlined 1.0"},
		{"daemon", Facts{Daemon: fails[string]("connection refused")}, Fail, "systemctl restart towlined"},
		{"daemon", Facts{}, Skip, ""},
		{"proxy", Facts{Proxy: func(context.Context) error { return nil }}, OK, "answers"},
		{"proxy", Facts{Proxy: func(context.Context) error { return errors.New("away") }}, Fail, "systemctl restart towline-proxy"},
		{"units", Facts{}, Skip, "systemd"},
		{"units", unit(Unit{Name: "towlined.service", Load: "loaded", Active: "active", Needed: true}), OK, "towlined.service"},
		{"units", unit(Unit{Name: "towlined.service", Load: "loaded", Active: "failed", Needed: true}), Fail, "systemctl status towlined.service"},
		{"units", unit(Unit{Name: "podman.socket", Load: "loaded", Active: "inactive", Needed: true}), Fail, "podman.socket is inactive"},
		{"units", unit(Unit{Name: "podman.socket", Load: "not-found", Active: "inactive", Needed: true}), Warn, "no such unit"},
		{"units", unit(Unit{Name: "towline-proxy.socket", Load: "not-found", Active: "inactive"}), OK, ""},
		{"units", unit(Unit{Name: "towlined.service", Load: "loaded", Active: "active", Restarts: 7, Needed: true}), Warn, "restarted 7 times"},
		{"podman", Facts{Podman: says(Podman{Version: "5.4.2", Runtime: "crun 1.21", Driver: "overlay", Database: "sqlite"})}, OK, "Podman 5.4.2, crun 1.21, overlay"},
		{"podman", Facts{Podman: says(Podman{Version: "4.3.1+ds1", Driver: "overlay"})}, OK, "goes around"},
		{"podman", Facts{Podman: says(Podman{Version: "4.2.0"})}, Fail, "apt install podman"},
		{"podman", Facts{Podman: says(Podman{Version: "6.0.0"})}, Warn, "never tried"},
		{"podman", Facts{Podman: says(Podman{Version: "5.4.2", Driver: "vfs"})}, Warn, "copies its image"},
		{"podman", Facts{Podman: says(Podman{Version: "5.4.2", Database: "boltdb"})}, Warn, "BoltDB"},
		{"podman", Facts{Podman: fails[Podman]("no socket")}, Fail, "systemctl restart podman.socket"},
		{"netavark", Facts{Netavark: says("1.14.0")}, OK, "netavark 1.14.0"},
		{"netavark", Facts{Netavark: says("1.4.0")}, OK, "isolation"},
		{"netavark", Facts{Netavark: says("1.3.0")}, Fail, "apt install netavark"},
		{"netavark", Facts{Netavark: fails[string]("it is not installed")}, Fail, "aardvark-dns"},
		{"cgroup", Facts{Cgroup: says(Cgroup{2, []string{"cpuset", "cpu", "io", "memory", "pids"}})}, OK, "cgroup v2"},
		{"cgroup", Facts{Cgroup: says(Cgroup{2, []string{"cpu", "io", "pids"}})}, Fail, "without memory"},
		{"cgroup", Facts{Cgroup: says(Cgroup{2, []string{"cpu", "memory", "pids"}})}, Warn, "without io"},
		{"cgroup", Facts{Cgroup: says(Cgroup{1, []string{"cpu", "blkio", "memory", "pids"}})}, Warn, "unified_cgroup_hierarchy"},
		{"cgroup", Facts{Cgroup: fails[Cgroup]("gone")}, Warn, "could not be found out"},
		{"kernel", Facts{Kernel: says("6.1.0-18-amd64")}, OK, "Linux 6.1.0"},
		{"kernel", Facts{Kernel: says("5.10.0-28-amd64")}, Warn, "user ids of the host"},
		{"firewall", Facts{Tables: says([]string{"inet towline", "bridge towline", "ip nat"})}, OK, "inet towline and bridge towline"},
		{"firewall", Facts{Tables: says([]string{"inet towline"})}, OK, "no add-on"},
		{"firewall", Facts{Tables: says([]string{"ip nat"})}, Fail, "systemctl restart towlined"},
		{"firewall", Facts{Tables: fails[[]string]("no nft")}, Fail, "apt install nftables"},
		{"ports", port("towline-proxy (7)"), OK, "towline-proxy listens at :443"},
		{"ports", port("towline-proxy (7)", "systemd (1)"), OK, ""},
		{"ports", port("nginx (812)"), Fail, "systemctl disable --now nginx;"},
		{"ports", port(), Fail, "nobody listens at :443"},
		{"sshd", Facts{SSHD: says(ssh)}, OK, "authorized_keys"},
		{"sshd", withSSH(func(s *SSHD) { s.Reads = []string{".ssh/authorized_keys"} }), Fail, "Match User towline"},
		{"sshd", withSSH(func(s *SSHD) { s.Denied = "AllowUsers" }), Fail, "add towline to it"},
		{"sshd", withSSH(func(s *SSHD) { s.Forced = "/bin/false" }), Fail, "ForceCommand /bin/false"},
		{"sshd", withSSH(func(s *SSHD) { s.Reads, s.Command = nil, "/usr/lib/towline/keys" }), OK, "/usr/lib/towline/keys"},
		{"dns", dns("shop.localhost"), Skip, "localhost"},
		{"dns", dns("here.example.com", "*.wild.example.com", "shop.localhost"), OK, "all 2 domains"},
		{"dns", dns("here.example.com", "there.example.com"), Warn, "there.example.com leads to 198.51.100.1"},
		{"dns", dns("here.example.com", "nowhere.example.com"), Fail, "nowhere.example.com has no address"},
		{"dns", dns("nowhere.example.com"), Fail, "lead them to 192.0.2.7"},
		{"certificates", certificate(daemon.Certificate{NotAfter: at.Add(60 * 24 * time.Hour)}), OK, "2027-01-28"},
		{"certificates", certificate(daemon.Certificate{NotAfter: at.Add(10 * 24 * time.Hour)}), Warn, "expires in 10 days"},
		{"certificates", certificate(daemon.Certificate{NotAfter: at.Add(time.Hour), Error: "no answer"}), Fail, "in 1 hours (no answer)"},
		{"certificates", certificate(daemon.Certificate{NotAfter: at.Add(-time.Hour)}), Fail, "has expired"},
		{"certificates", certificate(daemon.Certificate{Error: "dns"}), Fail, "has none: dns"},
		{"certificates", certificate(daemon.Certificate{}), Skip, "no certificates yet"},
		{"certificates", Facts{Certificates: fails[[]daemon.Certificate]("away")}, Warn, "away"},
		{"clock", Facts{Clock: says(Clock{Synced: true, Error: time.Millisecond})}, OK, "NTP"},
		{"clock", Facts{Clock: says(Clock{})}, Warn, "timedatectl set-ntp true"},
		{"disk", withDisk(func(*Disk) {}), OK, "50 GiB of 100 GiB"},
		{"disk", withDisk(func(d *Disk) { d.Free = 9 * gib }), Warn, "backups of shop-db: 40 GiB"},
		{"disk", withDisk(func(d *Disk) { d.Free = gib }), Fail, "builds are refused"},
		{"disk", withDisk(func(d *Disk) { d.InodesFree = 10 }), Fail, "1 % of its inodes"},
		{"memory", memory(Memory{Apps: gib, Addons: gib, Builds: gib}), OK, "3072 MiB promised"},
		{"memory", memory(Memory{Apps: 7 * gib, Addons: gib, Builds: gib}), Warn, "ps:scale"},
		{"memory", memory(Memory{Apps: 7 * gib, Addons: gib, Builds: gib, Swap: 2 * gib}), OK, ""},
		{"memory", memory(Memory{Addons: 9 * gib}), Fail, "addons:upgrade"},
		{"memory", Facts{Memory: says(Memory{Total: 8 * gib, Available: gib / 8})}, Fail, ""},
		{"backups", Facts{Backups: says([]Backups{})}, Skip, "no add-ons"},
		{"backups", backup(Backups{LastGood: at.Add(-3 * time.Hour)}), OK, "at most 4 hours"},
		{"backups", backup(Backups{LastGood: at.Add(-9 * 24 * time.Hour)}), Warn, "9 days old"},
		{"backups", backup(Backups{Problems: []string{"there is no good one, and no schedule"}}), Fail, "backups:schedule"},
		{"host-backup", Facts{HostBackup: says(HostBackup{})}, Skip, "nothing to back up"},
		{"host-backup", Facts{HostBackup: says(HostBackup{Data: true})}, Warn, "never one"},
		{"host-backup", Facts{HostBackup: says(HostBackup{Data: true, Taken: at.Add(-9 * 24 * time.Hour)})}, Warn, "9 days"},
		{"host-backup", Facts{HostBackup: says(HostBackup{Data: true, Taken: at})}, Warn, "--verify"},
		{"host-backup", Facts{HostBackup: says(HostBackup{Data: true, Taken: at, Verified: at})}, OK, "tried by a restore"},
		{"host-backup", Facts{HostBackup: says(HostBackup{Data: true, Taken: at, Error: "disk full"})}, Fail, "disk full"},
		{"reboot", Facts{Reboot: says(Reboot{})}, OK, "none"},
		{"reboot", Facts{Reboot: says(Reboot{true, []string{"linux-image", "libc6", "libc6"}})}, Warn, "libc6, linux-image"},
	} {
		c.facts.Now = func() time.Time { return at }
		i := 0
		for checks[i].id != c.id {
			i++
		}
		got := checks[i].within(t.Context(), &c.facts, time.Minute)
		if got.Status != c.want || !strings.Contains(got.Found+" "+got.Do, c.text) {
			t.Errorf("%s: %+v\nwant %s with %q", c.id, got, c.want, c.text)
		}
		if (got.Status == Fail || got.Status == Warn) && !strings.Contains(got.Found, "found out") && (got.Want == "" || got.Do == "") {
			t.Errorf("%s: %+v says not what is wanted, or not what to type", c.id, got)
		}
	}
}

// TestOneCheckEndsNoOther: a check that hangs, and one that panics, are said to, and the
// rest is told all the same.
func TestOneCheckEndsNoOther(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	r := run(t.Context(), &Facts{}, []check{
		{"hangs", func(context.Context, *Facts) Finding { <-hang; return ok("late") }},
		{"panics", func(context.Context, *Facts) Finding { panic("a bug") }},
		{"good", func(context.Context, *Facts) Finding { return ok("here") }},
	}, 20*time.Millisecond)
	want := map[string]Status{"hangs": Warn, "panics": Warn, "good": OK}
	for _, f := range r.Findings {
		if f.Status != want[f.ID] {
			t.Errorf("%+v, want %s", f, want[f.ID])
		}
	}
	if len(r.Findings) != 3 || r.Status != Warn {
		t.Errorf("%+v", r)
	}
}

// TestEveryCheckEnds: all of them, on facts that fail and on none.
func TestEveryCheckEnds(t *testing.T) {
	r := Run(t.Context(), &Facts{Now: time.Now})
	if r.Status != OK || len(r.Findings) != len(checks) {
		t.Errorf("%+v", r)
	}
	for _, f := range r.Findings {
		if f.Status != Skip {
			t.Errorf("%s without facts: %+v", f.ID, f)
		}
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"4.3.1+ds1-8+deb12u1", "4.3", false}, {"4.3.1", "4.10", true}, {"4.10.0", "4.3", false}, {"5.0", "5.0.0", true}, {"6.1.0-18-amd64", "5.19", false}, {"", "4.3", true},
	} {
		if got := older(c.a, c.b); got != c.want {
			t.Errorf("%s older than %s: %v", c.a, c.b, got)
		}
	}
}

func TestReadSSHD(t *testing.T) {
	s := SSHD{User: "towline"}
	s.read("port 22\nallowusers root bob\nauthorizedkeysfile /a /b\nforcecommand none\nauthorizedkeyscommand none\npubkeyauthentication yes\n")
	if s.Denied != "AllowUsers" || len(s.Reads) != 2 || s.Forced != "" || s.Command != "" {
		t.Errorf("%+v", s)
	}
}

func TestListener(t *testing.T) {
	inode, port := listener("   0: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 123456 1 0000000000000000 100 0 0 10 0")
	if inode != "123456" || port != 443 {
		t.Error(inode, port)
	}
	if _, port := listener("   0: 00000000:01BB 0100007F:9C40 01 0:0 0:0 0 0 0 7"); port != 0 {
		t.Error("a connection is taken for a listener")
	}
	if _, port := listener("  sl  local_address rem_address   st tx_queue"); port != 0 {
		t.Error("the heading is")
	}
}
