package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"towline/cmd/internal/config"
	"towline/daemon/store"
)

// bench is a machine without sshd and systemd: it answers programs as told.
type bench struct {
	*installer
	dir   string
	out   bytes.Buffer
	asked []string
	fails map[string]string // command line -> what it says, failing
	says  map[string]string
}

func newBench(t *testing.T) *bench {
	b := &bench{dir: t.TempDir(), fails: map[string]string{}, says: map[string]string{}}
	b.installer = newInstaller(filepath.Join(b.dir, "etc", "towline.toml"), &b.out)
	b.sshdConf = filepath.Join(b.dir, "sshd_config.d", "towline.conf")
	b.run = func(_ context.Context, name string, args ...string) (string, error) {
		line := strings.Join(append([]string{name}, args...), " ")
		b.asked = append(b.asked, line)
		if said, fails := b.fails[line]; fails {
			return said, errors.New("exit status 1")
		}
		return b.says[line], nil
	}
	b.env = func(string) string { return "" }
	return b
}

// configured writes a towline.toml that leads into the bench's directory.
func (b *bench) configured(t *testing.T, more string) {
	t.Helper()
	text := "state = \"" + b.dir + "/state\"\nrun = \"" + b.dir + "/run\"\n" + more
	if err := errors.Join(os.MkdirAll(filepath.Dir(b.config), 0o755), os.WriteFile(b.config, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) conf(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(b.sshdConf)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

func TestSetupMakesTheConfiguration(t *testing.T) {
	b := newBench(t)
	if err := b.makeConfig(); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(b.config); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(b.config)
	if err != nil || !strings.Contains(string(text), "#state = ") {
		t.Errorf("%v\n%s", err, text)
	}
	info, err := os.Stat(b.config)
	if err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("everybody may read credentials: %v, %v", info.Mode(), err)
	}
	mine := []byte("domain = \"mine\"\n")
	if err := os.WriteFile(b.config, mine, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.makeConfig(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(b.config); err != nil || !bytes.Equal(text, mine) {
		t.Errorf("the administrator's file was changed: %s, %v", text, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(b.config)); err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestSetupMakesTheKeyOnce(t *testing.T) {
	b := newBench(t)
	b.configured(t, "")
	for range 2 {
		if err := setup(t.Context(), b.installer); err != nil {
			t.Fatal(err)
		}
	}
	key, err := store.LoadKey(filepath.Join(b.dir, "state", "key"))
	if err != nil || len(key) != store.KeySize {
		t.Errorf("%d bytes, %v", len(key), err)
	}
}

func TestSetupTellsSSHD(t *testing.T) {
	b := newBench(t)
	b.configured(t, "")
	file := b.load()
	effective := "sshd -T -C user=towline,host=localhost,addr=127.0.0.1"
	b.says[effective] = "authorizedkeysfile " + b.dir + "/state/ssh/authorized_keys"
	if err := b.tellSSHD(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	want := []string{"sshd -t", "sshd -t", "systemctl is-active --quiet ssh.service", "systemctl reload ssh.service", effective}
	if !slices.Equal(b.asked, want) {
		t.Errorf("asked %q, want %q", b.asked, want)
	}
	if text := b.conf(t); !strings.Contains(text, "Match User towline\n") || !strings.Contains(text, b.dir+"/state/ssh/authorized_keys\n") {
		t.Errorf("%s", text)
	}
	if b.out.Len() > 0 {
		t.Errorf("said %s", b.out.String())
	}
	b.asked = nil
	if err := b.tellSSHD(t.Context(), file); err != nil || len(b.asked) > 0 {
		t.Errorf("the second time: asked %q, %v", b.asked, err)
	}
}

func TestSetupLeavesABrokenSSHDAlone(t *testing.T) {
	b := newBench(t)
	b.configured(t, "")
	b.fails["sshd -t"] = "line 3: Bad configuration option: Prot"
	err := b.tellSSHD(t.Context(), b.load())
	if err == nil || !strings.Contains(err.Error(), "Bad configuration option") || b.conf(t) != "" {
		t.Errorf("%v, wrote %q", err, b.conf(t))
	}
	if slices.Contains(b.asked, "systemctl reload ssh.service") {
		t.Error("reloaded")
	}
}

func TestSetupTakesBackWhatSSHDRefuses(t *testing.T) {
	b := newBench(t)
	b.configured(t, "")
	for _, have := range []string{"", "# of the version before\n"} {
		if have != "" {
			if err := os.WriteFile(b.sshdConf, []byte(have), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		times := 0
		b.run = func(_ context.Context, name string, args ...string) (string, error) {
			if times++; times == 2 {
				return "DisableForwarding is unknown", errors.New("exit status 255")
			}
			return "", nil
		}
		err := b.tellSSHD(t.Context(), b.load())
		if err == nil || !strings.Contains(err.Error(), "DisableForwarding is unknown") || b.conf(t) != have {
			t.Errorf("%v, left %q, want %q", err, b.conf(t), have)
		}
	}
}

func TestSetupWarnsOfAnSSHDThatReadsNoDropIns(t *testing.T) {
	b := newBench(t)
	b.configured(t, "")
	if err := b.tellSSHD(t.Context(), b.load()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.out.String(), "Include /etc/ssh/sshd_config.d/*.conf") {
		t.Errorf("said %q", b.out.String())
	}
}

// TestSetupOnABadDay: a wrong towline.toml is told with its line, and all else is done.
func TestSetupOnABadDay(t *testing.T) {
	b := newBench(t)
	b.configured(t, "colour = 1\n")
	b.fails["sshd -t"] = "no host keys"
	b.run = func(context.Context, string, ...string) (string, error) { return "no such file", os.ErrNotExist }
	file := b.load()
	if !strings.Contains(b.out.String(), b.config+":3: unknown key") {
		t.Errorf("said %s", b.out.String())
	}
	if file.State != config.Default().State {
		t.Errorf("state is %s", file.State)
	}
}

func TestWelcomeWithoutADaemon(t *testing.T) {
	b := newBench(t)
	b.configured(t, "")
	b.wait = 0
	if err := welcome(t.Context(), b.installer); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"host:doctor", "members:add NAME --admin"} {
		if !strings.Contains(b.out.String(), words) {
			t.Errorf("no %q in %s", words, b.out.String())
		}
	}
}

func TestReadKeys(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	path := filepath.Join(t.TempDir(), "authorized_keys")
	text := "# mine\n\n" + key + " ada@home\nno-pty,command=\"echo no\" " + key + " bound\nrubbish\n" + key + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readKeys(path); !slices.Equal(got, []string{key + " ada@home", key}) {
		t.Errorf("%q", got)
	}
	if got := readKeys(path + ".none"); got != nil {
		t.Errorf("%q", got)
	}
	for user, want := range map[string]string{"ada": "ada", "Ada": "ada", "": "admin", "1st": "admin", "a b": "admin", strings.Repeat("a", 41): "admin"} {
		if got := memberName(user); got != want {
			t.Errorf("%q becomes %q, want %q", user, got, want)
		}
	}
}

func TestChoreUnknown(t *testing.T) {
	for _, words := range [][]string{{"dance"}, {"setup", "now"}} {
		if err := chore("/nonexistent", words); err == nil {
			t.Errorf("%q is done", words)
		}
	}
}
