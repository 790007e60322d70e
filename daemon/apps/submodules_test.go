package apps

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

// TestCheckSubmodules: no submodule is deployed as an empty directory; one whose files came
// along, or that there is not, is in nobody's way.
func TestCheckSubmodules(t *testing.T) {
	const module = "[submodule \"lib\"]\n\tpath = vendor/lib\n\turl = https://example.com/lib.git\n"
	for name, c := range map[string]struct {
		make func(dir string) error
		want string
	}{
		"none": {func(dir string) error { return nil }, ""},
		"empty": {func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/.gitmodules", []byte(module), 0o600), os.MkdirAll(dir+"/vendor/lib", 0o700))
		}, "https://example.com/lib.git"},
		"with its files": {func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/.gitmodules", []byte(module), 0o600), os.MkdirAll(dir+"/vendor/lib/x", 0o700))
		}, ""},
		"removed": {func(dir string) error { return os.WriteFile(dir+"/.gitmodules", []byte(module), 0o600) }, ""},
		"a path that leads out": {func(dir string) error {
			return errors.Join(os.Mkdir(filepath.Dir(dir)+"/out", 0o700), os.WriteFile(dir+"/.gitmodules", []byte("[submodule \"x\"]\npath = ../out\n[submodule \"y\"]\npath=/tmp\n[submodule \"z\"]\npath=\n"), 0o600))
		}, ""},
		"a link that leads out": {func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/.gitmodules", []byte("[submodule \"x\"]\npath = l\n"), 0o600), os.Symlink("/proc/1/fdinfo", dir+"/l"))
		}, ""},
		"a link for a file": {func(dir string) error { return os.Symlink("/etc/passwd", dir+"/.gitmodules") }, "not a file"},
	} {
		dir := filepath.Join(t.TempDir(), "src")
		if err := errors.Join(os.Mkdir(dir, 0o700), c.make(dir)); err != nil {
			t.Fatal(err)
		}
		err := checkSubmodules(dir, "shop")
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !daemon.IsKind(err, daemon.Invalid)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSubmodulesAreBounded: a directory of many files may be named any number of times.
func TestSubmodulesAreBounded(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(dir+"/d", 0o700), os.WriteFile(dir+"/.gitmodules", []byte(strings.Repeat("[submodule \"x\"]\npath=d\n", 2_000)), 0o600)); err != nil {
		t.Fatal(err)
	}
	for i := range 1_000 {
		if err := os.WriteFile(fmt.Sprintf("%s/d/%d", dir, i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if err := checkSubmodules(dir, "shop"); err != nil || time.Since(began) > time.Second {
		t.Errorf("%v, after %s", err, time.Since(began))
	}
}
