package podman_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/podman"
)

func TestIDMapWhereItCostsNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "overlay"), 0o700); err != nil {
		t.Fatal(err)
	}
	for release, want := range map[string]bool{
		"5.10.0-8-amd64": false, "5.18.19": false, "5.19.0": true, "6.1.0-37-amd64": true, "10.2": true, "strange": false,
	} {
		if got := podman.CheapMaps(dir, release); got != want {
			t.Errorf("%s: %t", release, got)
		}
	}
	note := filepath.Join(dir, "overlay", "idmapped-lower-dir-")
	for _, can := range []string{"false", "true"} { // a later one wins
		if err := os.WriteFile(note+can, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := podman.CheapMaps(dir, "6.1.0"); got != (can == "true") || podman.CheapMaps(dir, "5.4.0") != got {
			t.Errorf("noted %s: %t", can, got)
		}
	}
}

// An app's root is nobody outside, and writes to what its image brought and to new files.
func TestRootOfAnAppIsNobodyOutside(t *testing.T) {
	e := newEngine(t)
	const first = 1_950_000_000
	c := create(t, e, daemon.ContainerSpec{
		IDMap: first, IDMapIfCheap: true, User: "root", CapDrop: []string{"ALL"}, Init: true,
		Networks: []daemon.Attachment{attached(newNetwork(t, e))},
	}, "write", "/tmp/new", "x", "write", "/etc/passwd", "y", "read", "/proc/self/uid_map", "out", " ", "status", "Uid")
	out, errs, code := output(t, e, c)
	if code != 0 {
		t.Fatalf("%q, %q, %d", out, errs, code)
	}
	if want := "0 1950000000 65536 0 0 0 0"; strings.Join(strings.Fields(out), " ") != want {
		t.Errorf("%q, want %q: does this machine's storage map ids?", out, want)
	}
}
