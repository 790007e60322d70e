package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args              string
		app, remote, host string
		words             string
	}{
		{args: ""},
		{args: "ps -a shop", words: "ps -a shop"},
		{args: "-a shop ps", app: "shop", words: "ps"},
		{args: "--app=shop ps", app: "shop", words: "ps"},
		{args: "--remote staging ps", remote: "staging", words: "ps"},
		{args: "ps -r staging --json", remote: "staging", words: "ps --json"},
		{args: "ps --host=h:22", host: "h:22", words: "ps"},
		{args: "logs -t -n 5 --host h", host: "h", words: "logs -t -n 5"},
		{args: "run --remote staging rake --remote x", remote: "staging", words: "run rake --remote x"},
		{args: "run -a shop --host h rake -r x", host: "h", words: "run -a shop rake -r x"},
		{args: "run -e A=b --remote s -- rake --host x", remote: "s", words: "run -e A=b -- rake --host x"},
		{args: "ps exec web.1 ls --host", words: "ps exec web.1 ls --host"},
		{args: "ps:exec --host h web.1 ls -r", host: "h", words: "ps:exec web.1 ls -r"},
		{args: "config:set -- --host=x", words: "config:set -- --host=x"},
		{args: "config:set HOST=--host", words: "config:set HOST=--host"},
	} {
		in, err := parse(strings.Fields(c.args))
		if err != nil || in.app != c.app || in.remote != c.remote || in.host != c.host || strings.Join(in.words, " ") != c.words {
			t.Errorf("%q: %+v, %v", c.args, in, err)
		}
	}
	for _, args := range []string{"--host", "ps --remote", "-a"} {
		if in, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%q: %+v, want an error", args, in)
		}
	}
}

func TestParseURL(t *testing.T) {
	for url, want := range map[string]target{
		"ssh://towline@host/shop":          {"towline", "host", "", "shop"},
		"ssh://towline@host:2222/shop.git": {"towline", "host", "2222", "shop"},
		"ssh://towline@[::1]:2222/shop":    {"towline", "::1", "2222", "shop"},
		"ssh://host/shop":                  {"", "host", "", "shop"},
		"ssh://towline@host/~/shop/":       {"towline", "host", "", "shop"},
		"towline@host.example.com:shop":    {"towline", "host.example.com", "", "shop"},
		"towline@host:/shop.git":           {"towline", "host", "", "shop"},
		"host:shop":                        {"", "host", "", "shop"},
		"https://host/shop":                {},
		"git@example.com:me/shop.git":      {},
		"ssh://towline@host/me/shop":       {},
		"ssh://towline@host/":              {},
		"ssh://-oProxyCommand=x/shop":      {},
		"ssh://-oProxyCommand=x@host/shop": {},
		"-oProxyCommand=x:shop":            {},
		"/srv/git/shop":                    {},
		"./host:shop":                      {},
		"":                                 {},
	} {
		got, ok := parseURL(url)
		if ok != (want != target{}) || ok && got != want {
			t.Errorf("%q: %+v, %v; want %+v", url, got, ok, want)
		}
	}
}

func TestTarget(t *testing.T) {
	ours, other := remote{"staging", "ssh://towline@s/shop-staging"}, remote{"origin", "git@example.com:me/shop"}
	named := remote{"towline", "deploy@h:shop"}
	for _, c := range []struct {
		what    string
		in      invocation
		env     string
		remotes []remote
		want    target
		err     string
	}{
		{what: "nothing", err: "no host is known"},
		{what: "other remotes only", remotes: []remote{other}, err: "no host is known"},
		{what: "the only one", remotes: []remote{other, ours}, want: target{"towline", "s", "", "shop-staging"}},
		{what: "the one called towline", remotes: []remote{ours, named}, want: target{"deploy", "h", "", "shop"}},
		{what: "two", remotes: []remote{ours, {"x", "towline@x:y"}}, err: "which one"},
		{what: "two, named", in: invocation{remote: "x"}, remotes: []remote{ours, {"x", "towline@x:y"}}, want: target{"towline", "x", "", "y"}},
		{what: "named, absent", in: invocation{remote: "x"}, env: "h", remotes: []remote{ours}, err: "no git remote \"x\""},
		{what: "named, not ssh", in: invocation{remote: "x"}, remotes: []remote{{"x", "https://h/shop"}}, err: "not an SSH address"},
		{what: "environment", env: "me@h:22", want: target{"me", "h", "22", ""}},
		{what: "checkout before environment", env: "h", remotes: []remote{ours}, want: target{"towline", "s", "", "shop-staging"}},
		{what: "host before all", in: invocation{host: "h", app: "a"}, env: "e", remotes: []remote{ours}, want: target{"towline", "h", "", "a"}},
		{what: "app before the remote's", in: invocation{app: "a"}, remotes: []remote{ours}, want: target{"towline", "s", "", "a"}},
		{what: "an option for a host", in: invocation{host: "-oProxyCommand=x"}, err: "is no host"},
		{what: "an option for a user", in: invocation{host: "-l@x"}, err: "is no host"},
		{what: "bad port", in: invocation{host: "h:99999"}, err: "is no port"},
	} {
		t.Setenv("TOWLINE_HOST", c.env)
		got, err := c.in.target(func() []remote { return c.remotes })
		if c.err == "" && (err != nil || got != c.want) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %+v, %v", c.what, got, err)
		}
	}
	if _, err := fromRemotes(nil, ""); !errors.Is(err, errNoHost) {
		t.Error(err)
	}
}

func TestSSHArgs(t *testing.T) {
	t.Setenv("TOWLINE_SSH", "ssh -i key")
	got := sshArgs(target{"towline", "h", "2222", "shop"}, []string{"run", "--", "echo", "it's", "", "-x", "$HOME"}, "-T")
	want := []string{"ssh", "-i", "key", "-T", "-p", "2222", "--", "towline@h", "TOWLINE_APP=shop", "run", "'--'", "echo", `'it'\''s'`, "''", "'-x'", "'$HOME'"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestWantsTerminal(t *testing.T) {
	for line, want := range map[string]bool{
		"run bash": true, "run --no-tty bash": false, "addons console redis-shop": true, "ps": false,
		"apps:destroy -a shop": true, "apps destroy -a shop": true, "apps:destroy -a shop --confirm shop": false, "apps:destroy -a shop -c shop": false,
		"backups:restore latest": true, "backups:restore latest --json": false, "releases:rollback -a shop --with-data": true,
	} {
		if got := wantsTerminal(strings.Fields(line)); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestChanges(t *testing.T) {
	for line, want := range map[string]bool{
		"config:set A=b": true, "config set A=b": true, "config": false, "config -a shop": false, "config:get A": false, "logs -t": false,
		"ps:restart": true, "ps": false, "restart": true, "backups:capture redis-shop": true, "backups:download x": false, "addons:logs -t x": false,
		"config:set --help": false, "help": false, "": false, "deploy:archive": true,
	} {
		if got := (invocation{words: strings.Fields(line)}).changes(); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

// TestCtrlCSaysWhatBecomesOfIt: ssh is a program that the terminal's Ctrl-C ends.
func TestCtrlCSaysWhatBecomesOfIt(t *testing.T) {
	if os.Getenv("BE_CLIENT") != "" {
		os.Exit(run([]string{"--host", "example.test", "config:set", "A=b"}))
	}
	dir := t.TempDir()
	ssh := filepath.Join(dir, "ssh")
	if err := os.WriteFile(ssh, []byte("#!/bin/sh\n: >"+dir+"/began\nexec sleep 600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestCtrlCSaysWhatBecomesOfIt$")
	cmd.Env = append(os.Environ(), "BE_CLIENT=1", "TOWLINE_SSH="+ssh)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var screen bytes.Buffer
	cmd.Stderr = &screen
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(dir + "/began"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("ssh was not started")
		}
	}
	// As the terminal does: to the whole group.
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(screen.String(), "What had begun goes on: towline releases") {
		t.Errorf("exit code %d, %q", code, &screen)
	}
}
