package git_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/git"
)

func itoa(n int) string { return strconv.Itoa(n) }

// keygen makes a key with ssh-keygen and returns its public line and its file.
func keygen(t *testing.T, args ...string) (public, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "id")
	command(t, "/", append([]string{"ssh-keygen", "-q", "-N", "", "-C", "alice@laptop", "-f", path}, args...)...)
	text, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text)), path
}

// fingerprint is what ssh-keygen says of a key.
func fingerprint(t *testing.T, path string) string {
	t.Helper()
	return strings.Fields(command(t, "/", "ssh-keygen", "-lf", path))[1]
}

func TestParse(t *testing.T) {
	keys := git.NewKeys("/nonexistent", "/usr/bin/towline-shell")
	for _, args := range [][]string{{"-t", "ed25519"}, {"-t", "ecdsa"}, {"-t", "ecdsa", "-b", "521"}, {"-t", "rsa", "-b", "2048"}} {
		public, path := keygen(t, args...)
		key, fingerprint, err := keys.Parse("  " + public + " \n")
		if err != nil || key != public {
			t.Errorf("%v: got %q, %v; want %q", args, key, err, public)
		}
		if want := strings.Fields(command(t, "/", "ssh-keygen", "-lf", path))[1]; fingerprint != want {
			t.Errorf("%v: fingerprint %s, want %s", args, fingerprint, want)
		}
	}
	public, _ := keygen(t, "-t", "ed25519")
	bare := strings.Join(strings.Fields(public)[:2], " ")
	for line, want := range map[string]string{
		bare:                                 bare,
		bare + " two\twords":                 bare + " twowords",
		bare + " \x1b[31mred":                bare + " [31mred",
		strings.Replace(bare, " ", "   ", 1): bare,
	} {
		if key, _, err := keys.Parse(line); key != want {
			t.Errorf("%q: got %q, %v; want %q", line, key, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	keys := git.NewKeys("/nonexistent", "/usr/bin/towline-shell")
	public, path := keygen(t, "-t", "ed25519")
	private, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	weak, _ := keygen(t, "-t", "rsa", "-b", "1024")
	command(t, "/", "ssh-keygen", "-q", "-s", path, "-I", "x", "-n", "towline", path+".pub")
	certificate, err := os.ReadFile(path + "-cert.pub")
	if err != nil {
		t.Fatal(err)
	}
	rfc4716, err := exec.Command("ssh-keygen", "-e", "-f", path+".pub").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ line, words, hint string }{
		"nothing":         {" \n", "there is no key", ".pub"},
		"text":            {"hello", "not an SSH public key", ".pub"},
		"a path":          {"~/.ssh/id_ed25519.pub", "not an SSH public key", ".pub"},
		"cut":             {public[:40], "not an SSH public key", ".pub"},
		"comment":         {"# " + public, "comment", ".pub"},
		"options":         {`command="/bin/sh" ` + public, "options", "alone"},
		"two options":     {"no-pty,no-X11-forwarding " + public, "options", "alone"},
		"several lines":   {public + "\n" + public, "several lines", "one key"},
		"a smuggled line": {public + "\r" + public, "several lines", "one key"},
		"private":         {string(private), "private key", ".pub"},
		"putty":           {"PuTTY-User-Key-File-3: ssh-ed25519", "private key", ".pub"},
		"rfc4716":         {string(rfc4716), "OpenSSH's format", "ssh-keygen -i"},
		"weak rsa":        {weak, "1024 bits", "ed25519"},
		"dsa":             {"ssh-dss AAAAB3NzaC1kc3MAAACBAP alice", "DSA", "ed25519"},
		"certificate":     {string(certificate), "certificate", "public key"},
		"long":            {public + strings.Repeat(" x", 10_000), "bytes long", ".pub"},
	} {
		_, _, err := keys.Parse(c.line)
		var e *daemon.Error
		if !errors.As(err, &e) || e.Kind != daemon.Invalid || !strings.Contains(e.Message, c.words) || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%s: got %#v, want an Invalid error with %q and a hint with %q", name, e, c.words, c.hint)
		}
		if strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%s: the error repeats the key", name)
		}
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "authorized_keys")
	keys := git.NewKeys(path, "/usr/lib/towline shell/towline-shell", "--socket", "/run/towline/api.sock")
	alice, aliceFile := keygen(t, "-t", "ed25519")
	bob, bobFile := keygen(t, "-t", "ecdsa")
	alicePrint, bobPrint := fingerprint(t, aliceFile), fingerprint(t, bobFile)
	list := []daemon.MemberKey{{Member: "alice", Key: alice}, {Member: "bob", Key: bob}}
	if err := keys.Replace(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	forced := `command="'/usr/lib/towline shell/towline-shell' --socket /run/towline/api.sock --member `
	want := forced + "alice --key " + alicePrint + `",restrict,pty ` + alice + "\n" + forced + "bob --key " + bobPrint + `",restrict,pty ` + bob + "\n"
	check := func() {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, got, _ := strings.Cut(string(text), "\n")
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if entries, err := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("left in the directory: %v, %v", entries, err)
		}
	}
	check()

	// One bad entry changes nothing, least of all who can log in.
	for _, bad := range []daemon.MemberKey{
		{Member: `x",no-pty ssh-rsa`, Key: alice}, {Member: "a b", Key: alice}, {Member: "", Key: alice},
		{Member: "eve", Key: alice + "\n" + bob}, {Member: "eve", Key: `environment="A=1" ` + alice}, {Member: "eve"},
	} {
		if err := keys.Replace(t.Context(), append(list, bad)); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
		check()
	}
	if err := git.NewKeys(path, `/bin/"sh`).Replace(t.Context(), list); err == nil {
		t.Error("a quote in the shell's path was accepted")
	}
	check()

	if err := keys.Replace(t.Context(), list[:1]); err != nil {
		t.Fatal(err)
	}
	want = forced + "alice --key " + alicePrint + `",restrict,pty ` + alice + "\n"
	check()
}
