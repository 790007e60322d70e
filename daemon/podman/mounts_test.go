package podman_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/podman"
)

func newVolume(t *testing.T, e *podman.Engine, container string) (name, dir string) {
	t.Helper()
	name = container + "-data"
	if err := e.EnsureVolume(t.Context(), name, nil); err != nil {
		t.Fatal(err)
	}
	dir, err := e.VolumePath(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return name, dir
}

// owners of what is in a directory, and of itself.
func owners(t *testing.T, dir string) map[string]uint32 {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]uint32{}
	for _, name := range append([]string{"."}, names(entries)...) {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		found[name] = ownerOf(info)
	}
	return found
}

func names(entries []os.DirEntry) (list []string) {
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// What is mounted into a container with a user namespace has the owners that it has outside:
// a volume that was used without one is used within, with whatever ids, and without again.
func TestMountsKeepTheirOwners(t *testing.T) {
	e := newEngine(t)
	volume, dir := newVolume(t, e, name(t, e)) // whose end comes after that of all containers
	t.Cleanup(func() {
		if err := e.RemoveVolume(context.Background(), volume); err != nil {
			t.Error(err)
		}
	})
	private := filepath.Join(t.TempDir(), "private")
	secret := filepath.Join(private, "secret")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(first uint32, user string, verbs ...string) (string, string, int) {
		t.Helper()
		spec := daemon.ContainerSpec{
			IDMap: first, IDMapIfCheap: true, IDMapMounts: true, User: user, CapDrop: []string{"ALL"}, NoNetwork: true,
			Mounts: []daemon.Mount{{Volume: volume, Target: "/tmp"}, {Source: secret, Target: "/etc/secret", ReadOnly: true}},
		}
		return output(t, e, create(t, e, spec, append([]string{"read", "/proc/self/uid_map", "out", "|"}, verbs...)...))
	}
	want := func(first string, is ...string) {
		t.Helper()
		mapped, rest, _ := strings.Cut(is[0], "|")
		if fields := strings.Fields(mapped); len(fields) != 3 || fields[1] != first || rest != is[1] {
			t.Errorf("%q; want ids from %s and %q: does this machine's storage map ids?", is[0], first, is[1])
		}
	}
	// As it was made first, by root, which Podman fills from the image.
	// Relative names lead there, too: it is the image's working directory.
	out, errs, code := run(1_950_000_000, "root", "read", "/etc/secret", "write", "root", "of root")
	if want("1950000000", out, "s3cret"); code != 0 {
		t.Fatalf("%q, %d", errs, code)
	}
	if got := owners(t, dir); got["."] != 0 || got[".keep"] != 0 || got["root"] != 0 || len(got) != 3 {
		t.Errorf("owners: %v", got)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	// Without, as an earlier version had it, by a user.
	if out, errs, code = run(0, "", "read", "/tmp/root", "write", "/tmp/user", "of user"); code != 0 {
		t.Fatalf("%q, %d", errs, code)
	}
	want("0", out, "of root")
	// With other ids.
	if out, errs, code = run(1_951_000_000, "", "read", "user", "write", "/tmp/user", "again"); code != 0 {
		t.Fatalf("%q, %d", errs, code)
	}
	want("1951000000", out, "of user")
	if got := owners(t, dir); got["."] != 0 || got["root"] != 0 || got["user"] != 1000 {
		t.Errorf("owners: %v", got)
	}
	// The runtime goes there first, while nobody in the container may.
	if err := errors.Join(os.Chown(dir, 1000, 1000), os.Chmod(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	if out, errs, code = run(1_951_000_000, "", "read", "user"); code != 0 {
		t.Fatalf("%q, %d", errs, code)
	}
	want("1951000000", out, "again")
	if got := owners(t, dir); got["."] != 1000 || got["root"] != 0 {
		t.Errorf("owners: %v", got)
	}
	for _, forbidden := range []string{"/tmp/root", "/etc/secret"} {
		if _, errs, code := run(1_951_000_000, "", "write", forbidden, "x"); code != 9 || !strings.Contains(errs, "denied") && !strings.Contains(errs, "read-only") {
			t.Errorf("%s: %q, %d", forbidden, errs, code)
		}
	}
	if _, errs, code := run(1_951_000_000, "root", "write", "/etc/secret", "x"); code != 9 || !strings.Contains(errs, "read-only") {
		t.Errorf("%q, %d", errs, code)
	}
}

// A mount within another is there, too, and a second start finds all as the first.
func TestMountsWithinMountsKeepTheirOwners(t *testing.T) {
	e := newEngine(t)
	outer, inner := t.TempDir(), filepath.Join(t.TempDir(), "inner")
	// Runtimes make the place of a mount as root of the container, who is nobody here yet.
	if err := errors.Join(os.Mkdir(filepath.Join(outer, "b"), 0o755), os.WriteFile(filepath.Join(outer, "b/file"), nil, 0o644),
		os.WriteFile(inner, []byte("inner"), 0o600)); err != nil {
		t.Fatal(err)
	}
	c := create(t, e, daemon.ContainerSpec{
		IDMap: 1_950_000_000, IDMapIfCheap: true, IDMapMounts: true, User: "root", CapDrop: []string{"ALL"}, NoNetwork: true, WorkDir: "/a",
		Mounts: []daemon.Mount{{Source: inner, Target: "/a/b/file", ReadOnly: true}, {Source: outer, Target: "/a"}},
	}, "read", "b/file", "write", "/a/new", "x")
	for range 2 {
		runAgain(t, e, c)
	}
	var log strings.Builder
	if err := e.ContainerLog(t.Context(), c, false, &log, &log); err != nil || !strings.HasSuffix(log.String(), "inner") {
		t.Errorf("%q, %v", log.String(), err)
	}
	if got := owners(t, outer); got["new"] != 0 || got["b"] != 0 {
		t.Errorf("owners: %v", got)
	}
}

// runAgain runs a container to its end. What Podman does at the end of the run before may
// come late, and take down what was prepared for this one.
func runAgain(t *testing.T, e *podman.Engine, c string) {
	t.Helper()
	for since := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		code, err := 0, e.StartContainer(t.Context(), c)
		if err == nil {
			code, err = e.WaitContainer(t.Context(), c)
		}
		if err == nil && code == 0 {
			return
		}
		if time.Since(since) > 30*time.Second {
			t.Fatal(code, err)
		}
	}
}

// Where ids can't be mapped the container is as one without a user namespace.
func TestIDsBeyondARangeAreNotMapped(t *testing.T) {
	e := newEngine(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	first := func(user string, workDir ...string) string {
		t.Helper()
		out, errs, code := output(t, e, create(t, e, daemon.ContainerSpec{
			IDMap: 1_950_000_000, IDMapIfCheap: true, IDMapMounts: true, User: user, CapDrop: []string{"ALL"}, NoNetwork: true,
			Mounts: []daemon.Mount{{Source: dir, Target: "/data"}}, WorkDir: strings.Join(workDir, ""),
		}, "read", "/proc/self/uid_map"))
		if code != 0 {
			t.Fatalf("%q, %q, %d", out, errs, code)
		}
		return strings.Fields(out)[1]
	}
	if got := first("1:65536"); got != "0" {
		t.Errorf("group 65536: ids from %s", got)
	}
	if got := first("1:65535"); got == "0" {
		t.Error("group 65535 is not mapped")
	}
	if got := first("1:1", "/data/within"); got != "0" {
		t.Errorf("a working directory within a mount: ids from %s", got)
	}
	if err := os.Chown(dir, 1000, 100_000); err != nil {
		t.Fatal(err)
	}
	if got := first("1:1"); got != "0" {
		t.Errorf("a directory of group 100000: ids from %s", got)
	}
}

func TestWhereMountsAreMapped(t *testing.T) {
	const mounts = `25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
26 25 254:1 / /old rw,relatime shared:2 - ext3 /dev/vdb rw
27 25 0:40 / /pool rw,relatime shared:3 - zfs pool rw
28 27 0:41 / /pool/disk rw,relatime shared:4 - xfs /dev/vdc rw
`
	for dir, want := range map[string]bool{"/": true, "/var/lib": true, "/old": false, "/older": true, "/pool/x": false, "/pool/disk/x": true} {
		if got := podman.MapsMounts(mounts, dir, "6.1.0"); got != want {
			t.Errorf("%s: %t", dir, got)
		}
	}
	if podman.MapsMounts(mounts, "/", "5.10.0") {
		t.Error("on an old kernel")
	}
}

// The runtime goes to the working directory first, while nobody in the container may.
func TestWorkingDirectoryOfItsOwner(t *testing.T) {
	e := newEngine(t)
	dir := t.TempDir()
	if err := errors.Join(os.Chown(dir, 1000, 1000), os.Chmod(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	c := create(t, e, daemon.ContainerSpec{
		IDMap: 1_950_000_000, IDMapIfCheap: true, IDMapMounts: true, CapDrop: []string{"ALL"}, NoNetwork: true, WorkDir: "/data",
		Mounts: []daemon.Mount{{Source: dir, Target: "/data"}},
	}, "write", "new", "x")
	for range 3 {
		runAgain(t, e, c)
		if got := owners(t, dir); got["."] != 1000 || got["new"] != 1000 {
			t.Errorf("owners: %v", got)
		}
	}
}
