package plugins_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towline/plugins"
)

func TestInstall(t *testing.T) {
	root := filepath.Join(t.TempDir(), "plugins")
	m := load(t, good)
	if err := os.MkdirAll(filepath.Join(m.Dir(), ".git", "hooks"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.Dir(), "README"), []byte("about it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := plugins.Install(m, root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "demo", ".git")); err == nil {
		t.Error(".git was copied")
	}
	if _, err := os.Stat(filepath.Join(root, "demo", "README")); err != nil {
		t.Error(err)
	}
	// Another of the same name takes its place, and nothing else is left.
	if err := plugins.Install(load(t, strings.Replace(good, "A demo", "Mine", 1)), root); err != nil {
		t.Fatal(err)
	}
	c, err := plugins.Load(root)
	if m, ok := c.Service("demo"); err != nil || !ok || m.Title != "Mine" {
		t.Errorf("%v %v", m, err)
	}
	if err := plugins.Uninstall("demo", root); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
	if err := c.Reload(); err != nil || len(c.Names()) > 0 {
		t.Errorf("%v %v", c.Names(), err)
	}
}

func TestInstallRefuses(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"a link":   func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "passwd")) },
		"too much": func(dir string) error { return os.WriteFile(filepath.Join(dir, "big"), make([]byte, 9<<20), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			root, m := t.TempDir(), load(t, good)
			if err := spoil(m.Dir()); err != nil {
				t.Fatal(err)
			}
			if err := plugins.Install(m, root); err == nil {
				t.Error("it was installed")
			}
			if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
				t.Errorf("left: %v %v", left, err)
			}
		})
	}
	for _, name := range []string{"..", "../x", "", "/etc", "a/b"} {
		if err := plugins.Uninstall(name, t.TempDir()); err == nil {
			t.Errorf("%q was removed", name)
		}
	}
}

// TestFetchRefuses: what would run a program here, or read this host's files.
func TestFetchRefuses(t *testing.T) {
	for _, source := range []string{
		"ext::sh -c touch% /tmp/owned", "file:///etc", "http://example.org/x.git", "git://example.org/x.git",
		"--upload-pack=touch /tmp/owned", "ssh://-oProxyCommand=x/y", "https://-x/y", "user@-host:x", "fd::3", "me@host::x", "",
	} {
		if err := plugins.Fetch(t.Context(), source, filepath.Join(t.TempDir(), "x")); err == nil || strings.Contains(err.Error(), "git clone") {
			t.Errorf("%q: %v", source, err)
		}
	}
	for source, url := range map[string]bool{
		"https://example.org/x.git": true, "ssh://git@example.org/x": true, "git@example.org:x.git": true, "ext::x": true,
		"/root/plugins/x": false, "plugins/x": false, "./a:b": false,
	} {
		if plugins.IsURL(source) != url {
			t.Errorf("IsURL(%q) is %v", source, !url)
		}
	}
}

func TestTry(t *testing.T) {
	c, err := plugins.Load()
	if err != nil {
		t.Fatal(err)
	}
	forget := c.Try("trial", load(t, good))
	if m, ok := c.Service("trial"); !ok || m.Name != "trial" || len(c.Names()) > 0 {
		t.Errorf("%v, names %v", m, c.Names())
	}
	forget()
	if _, ok := c.Service("trial"); ok {
		t.Error("it is still known")
	}
}
