package build

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestHandOver(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.MkdirAll(at("sub/deep"), 0o755),
		os.WriteFile(at("sub/file"), nil, 0o644),
		os.WriteFile(at("program"), nil, 0o755),
		os.Chmod(at("program"), 0o755|os.ModeSetuid),
		os.Link(at("program"), at("sub/twin")),
		os.Symlink(outside, at("link")),
		os.Symlink(filepath.Dir(outside), at("sub/dirlink")),
		syscall.Mkfifo(at("fifo"), 0o666),
		syscall.Mknod(at("device"), syscall.S_IFCHR|0o666, 1<<8|3),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := handOver(dir, 4001, 4002, true); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{
		".": 0o770 | os.ModeDir, "sub": 0o775 | os.ModeDir, "sub/deep": 0o775 | os.ModeDir, "sub/file": 0o664,
		"program": 0o775, "sub/twin": 0o775, "link": 0o777 | os.ModeSymlink, "sub/dirlink": 0o777 | os.ModeSymlink,
	} {
		info, err := os.Lstat(at(name))
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		if name == "." {
			mode |= info.Mode().Perm() & 0o007
		}
		if stat.Uid != 4001 || stat.Gid != 4002 || info.Mode() != mode {
			t.Errorf("%s: %d:%d %v, want mode %v", name, stat.Uid, stat.Gid, info.Mode(), mode)
		}
	}
	for _, name := range []string{"fifo", "device"} {
		if _, err := os.Lstat(at(name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	if info, err := os.Stat(outside); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Error("a link was followed")
	}
	if err := os.Link(outside, at("stolen")); err != nil {
		t.Fatal(err)
	}
	if err := handOver(dir, 4001, 4002, false); err == nil || err.Error() != `"stolen" of the source has another name outside of it` {
		t.Errorf("a file linked from outside was handed over: %v", err)
	}
	if info, err := os.Stat(outside); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Error("a file linked from outside changed hands")
	}
}
