package command

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"towline/daemon/disk"
	"towline/daemon/doctor"
	"towline/daemon/hostbackup"
)

// stillHost is a machine on which nothing is wrong.
var stillHost = HostParts{
	Doctor: func(context.Context) doctor.Report {
		return doctor.Report{Status: doctor.OK, Findings: []doctor.Finding{{ID: "podman", Status: doctor.OK, Found: "Podman 4.3.1"}}}
	},
	Disk: func(context.Context) (disk.Report, error) {
		return disk.Report{Uses: []disk.Use{{Of: "app", Name: "shop", Parts: map[string]int64{"images": 3 << 20, "logs": 1 << 20}, Total: 4 << 20}}, Total: 4 << 20, Free: 1 << 30, Reserve: 1 << 20}, nil
	},
	Backups: hostbackup.New(hostbackup.Options{State: "/nonexistent"}),
	Facts: &doctor.Facts{
		Kernel:   func(context.Context) (string, error) { return "6.1.0", nil },
		Podman:   func(context.Context) (doctor.Podman, error) { return doctor.Podman{Version: "4.3.1"}, nil },
		Netavark: func(context.Context) (string, error) { return "1.4.0", nil },
	},
	Config: HostConfig{Domain: "example.test", State: "/", HTTP: ":80", HTTPS: ":443", SSH: "ssh://towline@example.test/"},
}

func TestHostDoctor(t *testing.T) {
	b := newBench(t)
	r := b.ask(Request{Member: "", Args: []string{"host:doctor"}})
	if r.code != 0 || !strings.Contains(r.out, "ok    podman        Podman 4.3.1") || !strings.Contains(r.out, "All is well") {
		t.Errorf("%+v", r)
	}
	b.host.Doctor = func(context.Context) doctor.Report {
		return doctor.Report{Status: doctor.Fail, Findings: []doctor.Finding{
			{ID: "ports", Status: doctor.Fail, Found: ":443 is held by nginx (7)", Want: "towline-proxy", Do: "systemctl disable --now nginx"},
			{ID: "clock", Status: doctor.Warn, Found: "nothing keeps it", Want: "NTP", Do: "apt install chrony"},
			{ID: "podman", Status: doctor.OK, Found: "Podman 4.3.1"},
		}}
	}
	r = b.ask(Request{Member: "", Args: []string{"host:doctor"}})
	if r.code != 1 || !strings.Contains(r.out, "FAIL  ports         :443 is held by nginx (7)\n      want:         towline-proxy\n      type:         systemctl disable --now nginx\n") ||
		!strings.HasSuffix(r.out, "1 check failed, 1 warning\n") {
		t.Errorf("%d\n%s", r.code, r.out)
	}
	r = b.ask(Request{Args: []string{"host:doctor", "--json"}})
	var got doctor.Report
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != 1 || got.Status != doctor.Fail || len(got.Findings) != 3 {
		t.Errorf("%d %v\n%s", r.code, err, r.out)
	}
}

func TestHostInfoAndDisk(t *testing.T) {
	b := newBench(t)
	if r := b.ask(Request{Member: "", Args: []string{"host:info"}}); r.code != 0 || !strings.Contains(r.out, "Podman:   4.3.1, netavark 1.4.0") || !strings.Contains(r.out, "0 apps, 0 add-ons, 0 members") {
		t.Errorf("%+v", r)
	}
	if r := b.ask(Request{Member: "", Args: []string{"host:disk"}}); r.code != 0 || !strings.Contains(r.out, "images 3.0 MiB, logs 1.0 MiB") || !strings.Contains(r.out, "1.0 GiB free, of which builds leave 1.0 MiB") {
		t.Errorf("%+v", r)
	}
	b.member("bob")
	for _, name := range []string{"host", "host:info", "host:doctor", "host:disk"} {
		if r := b.ask(Request{Member: "bob", Args: []string{name}}); r.code != 4 {
			t.Errorf("%s by who is no administrator: %+v", name, r)
		}
	}
}
