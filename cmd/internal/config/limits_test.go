package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, text string) (File, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "towline.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestLimitsByDefault(t *testing.T) {
	f, err := load(t, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		machine, process, build int64
	}{
		{1 * gibi, 512 * mebi, 1 * gibi},
		{2 * gibi, 512 * mebi, 1 * gibi},
		{8 * gibi, 2 * gibi, 4 * gibi},
		{32 * gibi, 4 * gibi, 4 * gibi},
	} {
		process, err := f.ProcessMemory(test.machine)
		build, berr := f.BuildMemory(test.machine)
		if err != nil || berr != nil || process != test.process || build != test.build {
			t.Errorf("machine of %d: process %d, build %d, %v, %v", test.machine, process, build, err, berr)
		}
	}
	if disk, err := f.ProcessDisk(); err != nil || disk != 10*gibi {
		t.Errorf("disk %d, %v", disk, err)
	}
	if l := f.Limits; l.Pids < 16 || l.Files < 1024 || l.Processes < 1 || l.Apps < 1 || l.OneOffs < 1 || l.Connections < 1 {
		t.Errorf("%+v", l)
	}
	if total, err := MachineMemory(); err != nil || total < 64*mebi {
		t.Errorf("this machine has %d bytes, %v", total, err)
	}
}

func TestBuildsAtOnce(t *testing.T) {
	for _, c := range []struct {
		text         string
		processors   int
		total, build int64
		want         int
	}{
		{"", 2, 2 * gibi, 1 * gibi, 1}, {"", 2, 23 * gibi, 4 * gibi, 2}, {"", 1, 64 * gibi, 4 * gibi, 1}, {"", 16, 32 * gibi, 4 * gibi, 6},
		{"", 8, 1 * gibi, 1 * gibi, 1}, {"", 4, 8 * gibi, 0, 4}, {"[build]\nat_once = 3\n", 1, gibi, gibi, 3},
	} {
		f, err := load(t, c.text)
		if got := f.BuildsAtOnce(c.processors, c.total, c.build); err != nil || got != c.want {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
	if _, err := load(t, "[build]\nat_once = -1\n"); err == nil {
		t.Error("-1 builds at once are taken")
	}
	f, err := load(t, "[build]\ndisk = \"2g\"\n")
	if disk, derr := f.BuildDisk(); err != nil || derr != nil || disk != 2*gibi {
		t.Errorf("%d, %v, %v", disk, err, derr)
	}
}

func TestLimitsAsConfigured(t *testing.T) {
	f, err := load(t, "[limits]\nmemory = \"300m\"\ndisk = \"1g\"\napps = 3\n[build]\nmemory = \"3g\"\n")
	if err != nil {
		t.Fatal(err)
	}
	process, err := f.ProcessMemory(64 * gibi)
	build, berr := f.BuildMemory(64 * gibi)
	disk, derr := f.ProcessDisk()
	if err != nil || berr != nil || derr != nil || process != 300*mebi || build != 3*gibi || disk != gibi || f.Limits.Apps != 3 || f.Limits.OneOffs == 0 {
		t.Errorf("%d, %d, %d, %+v, %v, %v, %v", process, build, disk, f.Limits, err, berr, derr)
	}
	for text, want := range map[string]string{
		"apps = 0":         "limits.apps",
		"one_offs = -1":    "limits.one_offs",
		"pids = 2":         "limits.pids",
		"files = 3":        "limits.files",
		"memory = \"lot\"": "limits.memory",
		"colour = 1":       "unknown key",
	} {
		f, err := load(t, "[limits]\n"+text+"\n")
		if err == nil {
			_, err = f.ProcessMemory(gibi)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
