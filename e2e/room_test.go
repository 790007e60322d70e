package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"towline/e2e/stack"
)

// smallDisk mounts a file system of its own size, to be filled.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	image, mount := filepath.Join(dir, "disk"), filepath.Join(dir, "mount")
	for _, argv := range [][]string{
		{"truncate", "-s", fmt.Sprintf("%dM", megabytes), image}, {"mkfs.ext4", "-q", "-m", "0", image},
		{"mkdir", mount}, {"mount", "-o", "loop", image, mount},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			if argv[0] == "mount" && os.Getenv("TOWLINE_REQUIRE_PODMAN") == "" {
				t.Skipf("this machine mounts no loop devices: %s", out)
			}
			t.Fatalf("%s: %v: %s", argv[0], err, out)
		}
	}
	// The accounts of sshd pass through.
	for _, dir := range []string{mount, dir, filepath.Dir(dir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		// Whatever watches over a container may outlive it for a moment, and has its log.
		eventually(t, func() string {
			out, err := exec.Command("umount", mount).CombinedOutput()
			if err != nil {
				return fmt.Sprintf("umount: %v: %s", err, out)
			}
			return ""
		})
	})
	return mount
}

// TestDiskFull: what will not fit is refused before it begins, naming what takes the
// room; a disk that fills up half-way fails the backup, leaves nothing half-made, and
// the service runs on.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 400)
	s := ownStack(t, stack.Options{Dir: filepath.Join(disk, "stack")})
	db := newDatabase(t, s, "room", "redis")
	if err := db.Add(1); err != nil {
		t.Fatal(err)
	}
	b := capture(t, s, "redis-room")
	if err := db.Fill(60); err != nil {
		t.Fatal(err)
	}
	// fill leaves so many megabytes free.
	fill := func(name string, leave int) error {
		out, err := exec.Command("sh", "-ec", fmt.Sprintf(`rm -f %[1]s/%[3]s
			fallocate -l $(( $(df --output=avail -B1 %[1]s | tail -1) - (%[2]d << 20) )) %[1]s/%[3]s`, disk, leave, name)).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("fill: %w: %s", err, out)
		}
		return err
	}
	ballast := func(t *testing.T, leave int) {
		t.Helper()
		if err := fill("ballast", leave); err != nil {
			t.Fatal(err)
		}
	}
	failed := func(t *testing.T, r stack.Result) {
		t.Helper()
		if r.Code != 1 || !strings.Contains(r.Stderr, "the disk is full") {
			t.Errorf("the disk is full: %s", r)
		}
		if list := backupsOf(t, s, "redis-room"); list[0].Status != "failed" {
			t.Errorf("it is listed as %+v", list[0])
		}
		if _, count, err := db.Last(); err != nil || count < 100 {
			t.Errorf("the service has %d records, %v", count, err)
		}
		assertBackups(t, s, "redis-room")
	}
	t.Run("refused", func(t *testing.T) {
		ballast(t, 50)
		r := s.SSH(t.Context(), stack.Admin, nil, "backups:capture redis-room")
		if r.Code != 6 || !strings.Contains(r.Stderr, "free") || !strings.Contains(r.Stderr, "redis-room: 1,") {
			t.Errorf("too little room: %s", r)
		}
		if list := backupsOf(t, s, "redis-room"); len(list) != 1 {
			t.Errorf("a refused backup is listed: %+v", list)
		}
	})
	t.Run("store", func(t *testing.T) {
		// The last backup was small, and this one will not be: the guard is wrong.
		ballast(t, 100)
		failed(t, s.SSH(t.Context(), stack.Admin, nil, "backups:capture redis-room"))
	})
	t.Run("copy", func(t *testing.T) {
		ballast(t, 200)
		done := make(chan stack.Result)
		go func() { done <- s.SSH(t.Context(), stack.Admin, nil, "backups:capture redis-room") }()
		eventually(t, func() string {
			if trees, _ := filepath.Glob(filepath.Join(s.Dir, "state", "work", "backup-*", "*")); len(trees) == 0 {
				return "no copy begins"
			}
			return ""
		})
		// The copy takes some while we look.
		eventually(t, func() string {
			if err := fill("more", 1); err != nil {
				return err.Error()
			}
			return ""
		})
		failed(t, <-done)
	})
	for _, name := range []string{"ballast", "more"} {
		if err := os.Remove(filepath.Join(disk, name)); err != nil {
			t.Fatal(err)
		}
	}
	admin(t, s, "backups:verify "+b.ID)
	if b := capture(t, s, "redis-room"); b.Status != "good" {
		t.Errorf("with room again: %+v", b)
	}
}
