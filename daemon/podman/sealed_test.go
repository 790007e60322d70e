package podman_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/containers/podman/v5/libpod/define"
	"golang.org/x/sys/unix"

	"towline/daemon"
	"towline/daemon/podman"
)

// What Podman makes for a container lies in a directory of the host's that all share.
func TestContainersCannotWriteWhatPodmanMade(t *testing.T) {
	e := newEngine(t)
	n := newNetwork(t, e)
	for what, spec := range map[string]daemon.ContainerSpec{
		"root with all that is usual": {User: "root", Networks: []daemon.Attachment{{Network: n}}},
		"a user namespace":            {User: "root", IDMap: 300_000, Networks: []daemon.Attachment{{Network: n}}},
		"root of a build, which may mount": {User: "root", IDMap: 300_000, CapAdd: []string{"SYS_ADMIN"}, Unconfined: true,
			Networks: []daemon.Attachment{{Network: n}}},
		"no network": {User: "root"},
	} {
		t.Run(what, func(t *testing.T) {
			spec.Init = true
			c := started(t, e, spec, "sleep")
			for _, file := range []string{"/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/run/.containerenv"} {
				if out, ok := probe(t, e, c, "writable", file); ok {
					t.Errorf("%s: %s", file, out)
				}
			}
		})
	}
	c := create(t, e, daemon.ContainerSpec{User: "root"}, "writable", "/etc/hosts")
	if out, _, code := output(t, e, c); code == 0 {
		t.Errorf("attached from its first byte: %s", out)
	}
}

// A container that was prepared before the daemon was killed is sealed when it starts.
func TestPreparedContainerIsSealed(t *testing.T) {
	e := newEngine(t)
	c := create(t, e, daemon.ContainerSpec{User: "root", Init: true}, "sleep")
	if out, err := exec.Command("podman", "init", c).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	if err := e.StartContainer(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if out, ok := probe(t, e, c, "writable", "/etc/hosts"); ok {
		t.Error(out)
	}
}

// Containers of earlier versions of Towline's can write to their hosts files until they
// are replaced.
func TestHostsFilesAreReadWithinBounds(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, content string) string {
		if err := os.WriteFile(path(name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	lines := []string{"10.0.0.2\tdb"}
	sparse := write("sparse", "127.0.0.1 localhost\n")
	if err := os.Truncate(sparse, 1<<40); err != nil {
		t.Fatal(err)
	}
	victim := write("victim", "of the host's\n")
	if err := os.Symlink(victim, path("link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path("pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sparse", "link", "pipe", "absent"} {
		if err := podman.RewriteHosts(path(name), "net", lines); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "of the host's\n" {
		t.Errorf("what the link leads to: %q, %v", got, err)
	}
	good := write("good", "127.0.0.1 localhost\n")
	if err := podman.RewriteHosts(good, "net", lines); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(good); err != nil || string(got) != "127.0.0.1 localhost\n10.0.0.2\tdb net.names.internal\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAliasThatBeginsAnID(t *testing.T) {
	member := func(id string, aliases ...string) *define.InspectContainerData {
		n := &define.InspectAdditionalNetwork{Aliases: append(aliases, id[:12])}
		n.IPAddress = "10.0.0.2"
		return &define.InspectContainerData{ID: id, NetworkSettings: &define.InspectNetworkSettings{
			Networks: map[string]*define.InspectAdditionalNetwork{"net": n}}}
	}
	id := "dbcafea1" + strings.Repeat("0", 56)
	got := strings.Join(podman.HostLines("net", []*define.InspectContainerData{member(id, "db", "dbcafe")}), "\n")
	if want := "10.0.0.2\tdb\n10.0.0.2\tdbcafe"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// The first thread of a process can't be ended, and /proc/self tells of it.
func TestFirstThreadStaysOutOfContainers(t *testing.T) {
	other := exec.Command("sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(other.Process.Kill(), other.Wait()) }()
	link := func(path string) string {
		to, err := os.Readlink(path)
		if err != nil {
			t.Error(err)
		}
		return to
	}
	want, before := link(fmt.Sprintf("/proc/%d/ns/mnt", other.Process.Pid)), link("/proc/self/ns/mnt")
	if want == before {
		t.Fatal("both are in one namespace")
	}
	var wait sync.WaitGroup
	for range 100 {
		wait.Go(func() {
			err := podman.InMountsOf(other.Process.Pid, func() error {
				if got := link("/proc/thread-self/ns/mnt"); got != want {
					t.Errorf("in %s, not %s", got, want)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, who := range []string{"self", "thread-self"} {
		if now := link("/proc/" + who + "/ns/mnt"); now != before {
			t.Errorf("%s is in %s now, not %s", who, now, before)
		}
	}
}
