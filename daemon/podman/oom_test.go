package podman_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/podman"
)

func TestKernelTellsOfMemoryKills(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	other := strings.Repeat("f", 64)
	line := func(memory, task, name string) string {
		return "6,3494,1541493510,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=" + task +
			",mems_allowed=0,oom_memcg=/x/" + memory + ",task_memcg=/x/" + task + ",task=" + name + ",pid=3717,uid=0\n"
	}
	for what, test := range map[string]struct{ line, id, process string }{
		"cgroup version 1": {line("libpod-"+id, "libpod-"+id, "tail"), id, "tail"},
		"systemd's":        {line("libpod-"+id+".scope", "libpod-"+id+".scope/container", "ruby"), id, "ruby"},
		"a name of lies": {line("libpod-"+id, "libpod-"+id, "a,oom_memcg=/libpod-"+other+",task_memcg=,task=\\x0ab"), id,
			("a,oom_memcg=/libpod-" + other)[:16]},
		"the machine's memory": {strings.Replace(line("libpod-"+id, "libpod-"+id, "tail"), "MEMCG", "NONE", 1), "", ""},
		"a limit further up":   {line("machine.slice", "libpod-"+id, "tail"), "", ""},
		"other news":           {"6,1,2,-;usb 1-1: new device\n", "", ""},
	} {
		if gotID, process, _ := podman.ParseKill(test.line); gotID != test.id || process != test.process {
			t.Errorf("%s: %q of %q", what, process, gotID)
		}
	}
}

func TestMemoryKillIsTold(t *testing.T) {
	e := newEngine(t)
	if !controller("memory") {
		t.Skip("needs the kernel's memory controller")
	}
	events, err := e.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := create(t, e, daemon.ContainerSpec{Limits: daemon.Limits{Memory: 32 << 20}}, "eat", strconv.Itoa(256<<20))
	if _, _, code := output(t, e, c); code != 137 {
		t.Errorf("code %d", code)
	}
	deadline := time.After(time.Minute)
	for told := false; !told; {
		select {
		case event := <-events:
			told = event.OutOfMemory != ""
			if told && (event.Container != c || event.OutOfMemory != "probe" || event.Labels["towline"] != run) {
				t.Errorf("%+v", event)
			}
		case <-deadline:
			t.Fatal("not told within a minute")
		}
	}
	if got, err := e.Container(t.Context(), c); err != nil || !got.OOMKilled {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestLimitsOfEachProcess(t *testing.T) {
	e := newEngine(t)
	limits := daemon.Limits{Files: 4096, Disk: 1 << 20}
	c := create(t, e, daemon.ContainerSpec{Limits: limits, User: "root"}, "rlimits")
	if out, errs, code := output(t, e, c); out != "files 4096 4096\nsize 1048576 1048576\n" || code != 0 {
		t.Errorf("%q, %q, %d", out, errs, code)
	}
	c = create(t, e, daemon.ContainerSpec{Limits: limits, User: "root"}, "truncate", "/large", "1125899906842624")
	if out, errs, code := output(t, e, c); code == 0 {
		t.Errorf("made a sparse file of a petabyte: %q, %q", out, errs)
	}
	c = create(t, e, daemon.ContainerSpec{Limits: limits, User: "root"}, "truncate", "/small", "65536")
	if out, errs, code := output(t, e, c); code != 0 {
		t.Errorf("a small file: %q, %q, %d", out, errs, code)
	}
}

// Podman bounds what a container writes on XFS with project quotas alone, and refuses to
// make one elsewhere.
func TestProjectQuotas(t *testing.T) {
	const root = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"
	const xfs = "30 22 254:16 / /var/lib/containers rw,relatime shared:2 - xfs /dev/vdb rw,attr2,prjquota\n"
	for mounts, want := range map[string]bool{
		root:       false,
		root + xfs: true,
		root + strings.Replace(xfs, "prjquota", "noquota", 1):                                        false,
		root + strings.Replace(xfs, "/var/lib/containers", "/var/lib/contain", 1):                    false,
		root + xfs + "31 30 0:40 / /var/lib/containers/storage rw - tmpfs tmpfs rw\n":                false,
		root + xfs + "31 30 0:40 / /var/lib/containers/storage/overlay/x/merged rw - overlay o rw\n": true,
		strings.Replace(xfs, "/var/lib/containers", "/", 1):                                          true,
		"garbage\n": false,
	} {
		if got := podman.ProjectQuotas(mounts, "/var/lib/containers/storage"); got != want {
			t.Errorf("%t of:\n%s", got, mounts)
		}
	}
}
