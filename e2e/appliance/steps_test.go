package appliance

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func (s *story) createAddons() {
	for _, kind := range s.addons {
		s.towline("addons:create " + kind + " -a shop")
		s.wants(s.towline("config -a shop"), map[string]string{"redis": "REDISCLOUD_URL", "neo4j": "GRAPHENEDB_URL"}[kind])
	}
	s.towline("ps:scale worker=1 -a shop")
	s.towline("backups:capture redis-shop")
	s.wants(s.root("journalctl -u podman --no-pager -q | grep -c towline-addons.slice || true; systemctl show -p ActiveState towline-apps.slice towline-addons.slice"), "active")
	s.placed()
}

// placed wants every kind of container in its slice, and root of each to be nobody outside.
func (s *story) placed() {
	s.t.Helper()
	out := s.root(`for id in $(podman ps -q --filter label=towline=towline); do podman inspect --format '{{index .Config.Labels "towline.kind"}} {{.HostConfig.CgroupParent}}' $id; done`)
	for line := range strings.Lines(out) {
		want := map[string]string{"process": "towline-apps.slice", "addon": "towline-addons.slice"}[strings.Fields(line)[0]]
		if want == "" || !strings.Contains(line, want) {
			s.t.Errorf("%s is not in %s", strings.TrimSpace(line), want)
		}
	}
	if strings.Count(out, "addon ") != len(s.addons) || strings.Count(out, "process ") != 2 {
		s.t.Errorf("there are\n%s", out)
	}
	maps := s.root(`for pid in $(podman ps -q --filter label=towline=towline | xargs podman inspect --format '{{.State.Pid}}'); do cat /proc/$pid/uid_map; done`)
	for line := range strings.Lines(maps) {
		if first, err := strconv.Atoi(strings.Fields(line)[1]); err != nil || first < 1_910_000_000 {
			s.t.Errorf("a container has the host's ids from %d, %v", first, err)
		}
	}
	if strings.Count(maps, "\n") < s.containersWanted() {
		s.t.Errorf("user ids of containers:\n%s", maps)
	}
}

// closed wants nothing but SSH, HTTP and HTTPS to answer from outside, though somebody knows
// where the containers are.
func (s *story) closed() {
	addresses := strings.Fields(s.root(`podman ps -q | xargs podman inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}'`))
	if len(addresses) < s.containersWanted() {
		s.t.Fatalf("addresses of containers: %q", addresses)
	}
	if err := run(s.t.Context(), "ip", "route", "replace", "10.89.0.0/16", "via", s.m.Addr().String()); err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		s.must(run(context.Background(), "ip", "route", "del", "10.89.0.0/16", "via", s.m.Addr().String()))
	}()
	for _, a := range addresses {
		for _, port := range []int{3000, 6379, 7474, 7687} {
			if answers(fmt.Sprintf("%s:%d", a, port)) {
				s.t.Errorf("a container answers at %s:%d from outside", a, port)
			}
		}
	}
	var open []int
	for port := range 10000 {
		if answersSoon(net.JoinHostPort(s.m.Addr().String(), strconv.Itoa(port))) {
			open = append(open, port)
		}
	}
	if fmt.Sprint(open) != "[22 80 443]" {
		s.t.Errorf("ports %v answer, want 22, 80, 443", open)
	}
}

func answers(address string) bool     { return dials(address, 300*time.Millisecond) }
func answersSoon(address string) bool { return dials(address, 2*time.Second) } // refused at once, as a rule

func dials(address string, limit time.Duration) bool {
	c, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

var exposure = regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`)

func (s *story) hardened() {
	for unit, limit := range map[string]float64{"towline-proxy.service": 1.5, "towlined.service": 5.0} {
		out := s.root("systemd-analyze security --no-pager " + unit)
		m := exposure.FindStringSubmatch(out)
		if m == nil {
			s.t.Fatalf("%s: %s", unit, tail(out))
		}
		if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > limit {
			s.t.Errorf("%s: exposure %s, at most %.1f", unit, m[1], limit)
		} else {
			s.t.Logf("%s: exposure %s", unit, m[1])
		}
	}
	if out := s.root("systemd-analyze verify --man=no /usr/lib/systemd/system/towline*.{service,socket,slice} 2>&1 | grep -i towline || true"); out != "" {
		s.t.Errorf("systemd-analyze verify:\n%s", out)
	}
	if caps := s.root("grep CapEff /proc/$(systemctl show -P MainPID towline-proxy)/status"); !strings.Contains(caps, "0000000000000000") {
		s.t.Errorf("the proxy has %s", caps)
	}
	s.root("systemctl is-system-running || { systemctl --failed; exit 1; }")
	s.wants(s.root("journalctl -u towline-proxy -u towlined SERVICE=shop --no-pager -q"), "deployed")
}

func (s *story) firewall() {
	rules := func() string { return s.root("nft list tables | grep towline | sort") }
	want := rules()
	s.wants(want, "table inet towline", "table bridge towline")
	for _, how := range []string{"nft flush ruleset", "systemctl restart nftables", "nft delete table inet towline"} {
		s.root(fmt.Sprintf("%s; sleep %d", how, s.m.Slowness()))
		if got := rules(); got != want {
			s.t.Errorf("a second after %s there is %q, want %q", how, got, want)
		}
		s.closedInside()
	}
	s.root("podman network reload --all >/dev/null") // netavark's own rules are not Towline's
}

// closedInside wants the rules to be whole: an add-on begins no connection.
func (s *story) closedInside() {
	s.t.Helper()
	out := s.root("nft list ruleset")
	s.wants(out, "chain forward", "chain inward", "chain input", "chain answers-towline", `"tl-`)
}

// containers are the ones that run, which no upgrade may replace.
func (s *story) containers() string {
	return s.root("podman ps -q --no-trunc --filter label=towline=towline | sort")
}

// kept is what an upgrade may not change.
func (s *story) kept() string {
	return s.root("sha256sum /etc/towline/towline.toml /etc/ssh/sshd_config /etc/ssh/sshd_config.d/* /var/lib/towline/key /var/lib/towline/ssh/authorized_keys /etc/nftables.conf /etc/passwd /etc/group")
}

// under runs do while good clients do what they do, and wants none of them to notice.
func (s *story) under(do func()) {
	s.t.Helper()
	clients := 4
	if s.m.Slowness() > 1 {
		clients = 1
	}
	load, err := StartLoad(s.host, s.m.Addr().String()+":443", s.tls(), clients)
	s.must(err)
	time.Sleep(time.Second)
	do()
	time.Sleep(2 * time.Second)
	failures := load.Stop()
	s.t.Logf("%d requests, %d uploads, %d messages over %d WebSockets: %d failed",
		load.Requests.Load(), load.Uploads.Load(), load.Messages.Load(), load.Sockets, len(failures))
	for _, f := range failures[:min(10, len(failures))] {
		s.t.Error(f)
	}
	if load.Requests.Load() < 50 || load.Messages.Load() < 20 {
		s.t.Error("there was hardly any load")
	}
}

func (s *story) upgrade() {
	config := s.towline("config -a shop --json")
	kept, containers := s.kept(), s.containers()
	proxy := s.root("systemctl show -P MainPID towline-proxy")
	s.under(func() {
		out := s.root(s.apt("install", s.mnt("new.deb")))
		s.t.Log(tail(out))
		if strings.Contains(out, "warning") {
			s.t.Error("the upgrade warns")
		}
		s.wants(s.towline("version"), "0.1.0~2")
		s.wants(s.root("curl -s http://127.0.0.1:9180/metrics | head -c 100 || true; /proc/$(systemctl show -P MainPID towline-proxy)/exe --version"), "0.1.0~2")
		s.root("towline apps >/dev/null") // commands go on
	})
	if got := s.root("systemctl show -P MainPID towline-proxy"); got == proxy {
		s.t.Error("the proxy is the one of before")
	}
	if got := s.containers(); got != containers {
		s.t.Errorf("containers were\n%s and are\n%s", containers, got)
	}
	if got := s.kept(); got != kept {
		s.t.Errorf("files were\n%s and are\n%s", kept, got)
	}
	if got := s.towline("config -a shop --json"); got != config {
		s.t.Error("the app's config has changed")
	}
	s.patient()
	// The watchdog is fed by the new process: it lives on after its interval.
	s.root("sleep 32; systemctl is-active towline-proxy towlined")
	if n := strings.TrimSpace(s.root("systemctl show -P NRestarts towline-proxy")); n != "0" {
		s.t.Errorf("the proxy was restarted %s times", n)
	}
}

func (s *story) podman() {
	containers := s.containers()
	s.under(func() {
		s.root("systemctl restart podman.socket")
		s.root("systemctl restart podman.service")
		s.root("systemctl stop podman.socket podman.service; sleep 2; systemctl start podman.socket")
		s.wants(s.towline("ps -a shop"), "web.1")
	})
	if got := s.containers(); got != containers {
		s.t.Errorf("containers were\n%s and are\n%s", containers, got)
	}
	s.deploy("two")
}

func (s *story) restarts() {
	traces := func() string {
		return s.root(`nft list ruleset | grep -v counter | sed 's/ *# handle.*//' | sort | sha256sum
ip -br link | awk '{print $1}' | sed 's/@.*//' | sort | tr '\n' ' '; echo
grep -c 'containers\|netns' /proc/mounts; podman network ls -q | sort | tr '\n' ' '; podman ps -aq | wc -l`)
	}
	s.settle()
	before, containers := traces(), s.containers()
	s.under(func() {
		for range 20 {
			s.root("systemctl restart towlined")
		}
	})
	s.settle()
	if got := traces(); got != before {
		s.t.Errorf("20 restarts have left\n%s\nin place of\n%s", got, before)
	}
	if got := s.containers(); got != containers {
		s.t.Errorf("containers were\n%s and are\n%s", containers, got)
	}
	s.deploy("three")
}

// settle waits until what deploys leave behind is cleared away.
func (s *story) settle() {
	s.t.Helper()
	for end := time.Now().Add(s.m.Slowness() * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		if strings.TrimSpace(s.root("podman ps -aq | wc -l")) == strconv.Itoa(s.containersWanted()) {
			return
		}
	}
	s.t.Fatalf("there are\n%s", s.root("podman ps -a"))
}

func (s *story) reboot() {
	s.must(s.m.Reboot(s.t.Context()))
	start := time.Now()
	s.waitPage(time.Minute)
	s.t.Logf("the page is back %.1f s after SSH", time.Since(start).Seconds())
	s.wants(s.root("towline addons -a shop; systemctl is-active towlined towline-proxy"), "active", "redis-shop")
	s.waitRunning()
	s.placed()
	s.closedInside()
}

// waitPage waits until shop's page is there, for as long as the guest's slowness makes of limit.
func (s *story) waitPage(limit time.Duration) {
	s.t.Helper()
	client := s.client()
	var last error
	for end := time.Now().Add(s.m.Slowness() * limit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if last = s.isShop(get(client, "https://"+s.host+"/")); last == nil {
			return
		}
	}
	s.t.Fatalf("no page within %s: %v", limit, last)
}

// containersWanted is how many run: shop's web and worker, its add-ons, other apps.
func (s *story) containersWanted() int { return 2 + len(s.addons) + s.others }

func (s *story) waitRunning() {
	s.t.Helper()
	for end := time.Now().Add(s.m.Slowness() * time.Minute); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if strings.TrimSpace(s.root("podman ps -q --filter label=towline=towline | wc -l")) == strconv.Itoa(s.containersWanted()) {
			return
		}
	}
	s.t.Fatalf("want %d containers, have\n%s", s.containersWanted(), s.root("podman ps -a"))
}

func (s *story) reinstall() {
	volumes := s.root("podman volume ls -q | sort")
	out := s.root(s.apt("remove", "towline"))
	s.wants(out, fmt.Sprintf("stopped %d containers", s.containersWanted()))
	if n := strings.TrimSpace(s.root("podman ps -q | wc -l; test ! -e /etc/ssh/sshd_config.d/towline.conf; nft list tables | grep -c towline || true")); n != "0\n0" {
		s.t.Errorf("after the removal there are %q containers and tables", n)
	}
	if answers(s.m.Addr().String() + ":443") {
		s.t.Error("something answers at port 443 after the removal")
	}
	s.root("sshd -t && systemctl is-active ssh")
	s.root(s.apt("install", s.mnt("new.deb")))
	s.patient()
	s.waitRunning()
	s.waitPage(time.Minute)
	if got := s.root("podman volume ls -q | sort"); got != volumes {
		s.t.Errorf("volumes were\n%s and are\n%s", volumes, got)
	}
	s.wants(s.towline("releases -a shop"), "v1")
}

// badDay installs while nothing that the package needs is as it should be: it warns, and
// dpkg is content.
func (s *story) badDay() {
	s.root(s.apt("remove", "towline"))
	s.root("systemctl mask --now podman.socket podman.service; systemd-run -q --unit=squatter perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 1, ReuseAddr => 1) or die; sleep'; ip route del default; sleep 1")
	start := time.Now()
	out := s.root(s.apt("install", s.mnt("new.deb")))
	s.t.Logf("%.0f s\n%s", time.Since(start).Seconds(), tail(out))
	s.wants(out, "towline host:doctor", "the daemon is not ready yet", "towline-proxy-http.socket does not start")
	s.wants(s.root("dpkg -s towline; systemctl is-active towline-proxy"), "install ok installed", "active")
	if !answers(s.m.Addr().String() + ":443") {
		s.t.Error("HTTPS does not answer though its port is free")
	}
	s.root("systemctl stop squatter; ip route add default via " + s.m.Gateway().String() + "; systemctl unmask podman.socket podman.service; systemctl start podman.socket; systemctl stop towline-proxy; systemctl start towline-proxy-http.socket towline-proxy")
	s.waitPage(2 * time.Minute)
}

func (s *story) purge() {
	s.root(s.apt("remove", "towline"))
	out := s.root(s.apt("purge", "towline"))
	s.wants(out, "kept /etc/towline")
	s.root("test -e /var/lib/towline/key && test -e /etc/towline/towline.toml && test -d /var/lib/towline-proxy")
	s.root(s.apt("install", s.mnt("new.deb")))
	s.waitPage(2 * time.Minute)

	s.root(s.apt("remove", "towline"))
	s.root("echo towline towline/purge-data boolean true | debconf-set-selections")
	out = s.root(s.apt("purge", "towline"))
	s.wants(out, "removed all apps")
	left := s.root(`ls -d /etc/towline /var/lib/towline* /var/log/towline* /run/towline*/* /etc/systemd/system/*/towline* /etc/systemd/system/towline* 2>/dev/null || true
podman ps -aq; podman volume ls -q; podman network ls -q --filter label=towline=towline; podman images --format '{{.Repository}}' | grep '^localhost/towline/shop' || true`)
	if strings.TrimSpace(left) != "" {
		s.t.Errorf("the purge has left\n%s", left)
	}
	s.root("systemctl is-system-running || { systemctl --failed; exit 1; }")
}
