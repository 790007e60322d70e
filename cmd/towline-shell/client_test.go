package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// client is the command line, built, and run in dir as on a user's laptop.
func (h *host) client() func(dir string, args ...string) *exec.Cmd {
	h.t.Helper()
	program := h.dir + "/towline"
	h.command("../towline", "go", "build", "-o", program, ".")
	return func(dir string, args ...string) *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TOWLINE_SSH=ssh "+strings.Join(h.sshArgs(), " "), "TOWLINE_SOCKET="+h.dir+"/none",
			"XDG_CACHE_HOME="+h.dir+"/cache", "GIT_CONFIG_GLOBAL=/dev/null")
		return cmd
	}
}

func TestClient(t *testing.T) {
	h := newHost(t)
	towline := h.client()
	outside, dir := t.TempDir(), h.checkout()
	// What the client does by itself stays in the help once a host is known.
	help, err := towline(outside, "help").Output()
	check(t, err)
	_, clientPart, found := strings.Cut(string(help), "systemctl status towlined\n\n")
	for _, own := range []string{"git:remote", "completion", "--host", "TOWLINE_SSH"} {
		if !found || !strings.Contains(clientPart, own) {
			t.Errorf("no %s in the help: %s", own, help)
		}
	}
	h.command(dir, "git", "remote", "add", "origin", "git@example.com:me/shop")
	place := strings.TrimSuffix(strings.TrimPrefix(h.url(""), "ssh://"), "/")
	for _, c := range []struct {
		dir, args string
		out       string
		code      int
	}{
		{outside, "ps", " !     no host is known here: there is no git remote of Towline's\n" +
			" !     name it: towline --host HOST ..., or in a checkout: towline git:remote -a APP --host HOST\n", 2},
		{outside, "ps --json", `{"error":{"kind":"invalid","message":"no host is known here: there is no git remote of Towline's",` +
			`"hint":"name it: towline --host HOST ..., or in a checkout: towline git:remote -a APP --host HOST"}}` + "\n", 2},
		{outside, "version", "towline dev\n", 0},
		{outside, "--host " + place + " ps --json", "ps --json of  for alice\n", 0},
		{outside, "--host " + place + " -a shop ps", "ps of shop for alice\n", 0},
		{outside, "git:remote -a shop --host " + place, " !     git remote add: exit status 128\n !     run this inside a git checkout: git init makes one\n", 2},
		{dir, "git:remote -a ../x --host " + place, " !     \"../x\" is no app\n !     towline git:remote -a APP --host HOST [--remote NAME]\n", 2},
		{dir, "git:remote -a shop --host " + place, "git remote towline is " + h.url("shop") + "\n", 0},
		{dir, "git remote --app=blog --remote staging --host " + place, "git remote staging is " + h.url("blog") + "\n", 0},
		{dir, "ps", "ps of shop for alice\n", 0},
		{dir, "ps --remote staging", "ps of blog for alice\n", 0},
		{dir, "", "help of shop for alice\n\n" + clientPart, 0},
		{dir, "help --all", "help --all of shop for alice\n\n" + clientPart, 0},
		{dir, "help ps", "help ps of shop for alice\n", 0},
		{dir, "version", "towline dev\nserver  9.9 at 127.0.0.1\n", 0},
		{dir, "version --json", "{\n  \"client\": \"dev\",\n  \"server\": \"9.9\",\n  \"host\": \"127.0.0.1\"\n}\n", 0},
		{dir, "exit 42", "", 42},
		{dir, "__complete comp", "complete --  of shop for alice\ncompletion\n", 0},
		{dir, "git:remote -a moved --host " + place, "git remote towline is " + h.url("moved") + "\n", 0},
		{dir, "ps", "ps of moved for alice\n", 0},
	} {
		cmd := towline(c.dir, strings.Fields(c.args)...)
		raw, _ := cmd.CombinedOutput()
		out := string(raw)
		if strings.HasPrefix(out, "fatal:") { // git's own words
			_, out, _ = strings.Cut(out, "\n")
		}
		if code := cmd.ProcessState.ExitCode(); code != c.code {
			t.Errorf("towline %s: exit %d, want %d", c.args, code, c.code)
		}
		if out != c.out {
			t.Errorf("towline %s: got %q, want %q", c.args, out, c.out)
		}
	}

	out, err := towline(dir, "echo", "a b", `"'\`, "", "-t", "$HOME").Output()
	if want := `["a b" "\"'\\" "" "-t" "$HOME"]`; err != nil || string(out) != want {
		t.Errorf("words arrive as %s, %v; want %s", out, err, want)
	}
}

// TestClientTerminal: run gets a terminal if the user has one; others do not.
func TestClientTerminal(t *testing.T) {
	h := newHost(t)
	towline := h.client()
	place := strings.TrimSuffix(strings.TrimPrefix(h.url(""), "ssh://"), "/")
	for verb, want := range map[string]bool{"run": true, "ps": false} {
		tty, err := pty.Start(towline(t.TempDir(), "--host", place, verb))
		check(t, err)
		out := make([]byte, 4096)
		n := 0
		for {
			k, err := tty.Read(out[n:])
			n += k
			if err != nil {
				break
			}
		}
		tty.Close()
		if c, _ := h.last(verb); c.Terminal != want || strings.Contains(string(out[:n]), "closed") {
			t.Errorf("%s: terminal %v, want %v; %q", verb, c.Terminal, want, out[:n])
		}
	}
}

// TestLocal: the operator on the host needs no ssh.
func TestLocal(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root only")
	}
	h := newHost(t)
	cmd := h.client()(t.TempDir(), "-a", "shop", "ps")
	cmd.Env = append(cmd.Env, "TOWLINE_SOCKET="+h.dir+"/towlined.sock")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "ps of shop for \n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestCompletionScripts(t *testing.T) {
	h := newHost(t)
	towline := h.client()
	for shell, lint := range map[string][]string{"bash": {"-n"}, "zsh": {"-n"}, "fish": {"--no-execute"}} {
		script, err := towline(h.dir, "completion", shell).Output()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("no %s here", shell)
			continue
		}
		cmd := exec.Command(shell, lint...)
		cmd.Stdin = strings.NewReader(string(script))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
	if out, err := towline(h.dir, "completion", "tcsh").CombinedOutput(); err == nil {
		t.Errorf("tcsh: %s", out)
	}

	// The names come from the server; here a stand-in for towline lists them.
	stub := h.dir + "/stub"
	check(t, os.Mkdir(stub, 0o755))
	check(t, os.WriteFile(stub+"/towline", []byte("#!/bin/sh\n[ $1 = __complete ] || exit 1\n"+
		"case $2,$3 in ps,-a | -a,*) echo shop shed blog ;; ps,*) echo ;; *) echo apps apps:create apps:info ps ;; esac\n"), 0o755))
	script, _ := towline(h.dir, "completion", "bash").Output()
	for line, want := range map[string]string{
		"towline p":        "ps",
		"towline apps:c":   "create",
		"towline apps:":    "create info",
		"towline ps -a sh": "shop shed",
		"towline ps -a":    "",
		"towline ps web":   "",
		"towline -a ":      "shop shed blog",
	} {
		cmd := exec.Command("bash", "-c", string(script)+`COMP_LINE=$1 COMP_POINT=${#1}; _towline; echo "${COMPREPLY[*]}"`, "bash", line)
		cmd.Env = append(os.Environ(), "PATH="+stub+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q completes to %q, want %q; %v", line, got, want, err)
		}
	}
}

// TestOpen: the browser gets the address from the server, if it is one of a page.
func TestOpen(t *testing.T) {
	h := newHost(t)
	towline := h.client()
	dir, bin := h.checkout(), t.TempDir()
	place := strings.TrimSuffix(strings.TrimPrefix(h.url(""), "ssh://"), "/")
	check(t, towline(dir, "git:remote", "-a", "shop", "--host", place).Run())
	check(t, os.WriteFile(bin+"/xdg-open", []byte("#!/bin/sh\necho \"$@\" >"+bin+"/opened.new && mv "+bin+"/opened.new "+bin+"/opened\n"), 0o755))
	for address, opened := range map[string]bool{"https://shop.example.test/": true, "file:///etc/passwd": false} {
		cmd := towline(dir, "open", address)
		cmd.Env = append(cmd.Env, "DISPLAY=:0", "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if opened && (err != nil || string(out) != address+"\n") {
			t.Errorf("%s: %s%v", address, out, err)
		}
		if !opened {
			if _, err := os.Stat(bin + "/opened"); err == nil {
				t.Errorf("%s is opened", address)
			}
			continue
		}
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			if got, err := os.ReadFile(bin + "/opened"); err == nil && string(got) == address+"\n" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not opened", address)
			}
		}
		check(t, os.Remove(bin+"/opened"))
	}
}
