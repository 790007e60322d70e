package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"

	"towline/cmd/internal/session"
)

// execSSH turns this process into the user's own ssh.
func execSSH(t target, words []string) int {
	options := []string{"-T"}
	if wantsTerminal(words) && term.IsTerminal(0) && term.IsTerminal(1) {
		// Without the level ssh ends every such command by saying that it does.
		options = []string{"-t", "-o", "LogLevel=ERROR"}
	}
	argv := sshArgs(t, words, options...)
	path, err := exec.LookPath(argv[0])
	if err == nil {
		err = syscall.Exec(path, argv, os.Environ())
	}
	session.Complain(fmt.Errorf("run ssh: %w", err), "install OpenSSH's client, or say in TOWLINE_SSH what to run")
	return 1
}

// wantsTerminal tells whether the command may start a program that uses one, or ask for a
// name to be typed.
func wantsTerminal(words []string) bool {
	verb := (invocation{words: words}).verb()
	switch {
	case programs[verb]:
		return !slices.Contains(words, "--no-tty")
	case confirms[verb]:
		return !slices.ContainsFunc(words, func(w string) bool {
			return w == "--json" || strings.HasPrefix(w, "-c") || strings.HasPrefix(w, "--confirm")
		})
	}
	return false
}

// programs are the commands that start a program at the user's terminal; confirms are
// those that have a name typed before they change something for good.
var (
	programs = map[string]bool{"run": true, "addons:console": true, "ps:exec": true, "config:edit": true}
	confirms = map[string]bool{
		"apps:destroy": true, "destroy": true, "addons:destroy": true, "backups:restore": true, "backups:delete": true,
		"releases:rollback": true, "rollback": true, "members:remove": true, "keys:remove": true,
	}
)

// sshArgs is ssh's command line. The app goes before the command as TOWLINE_APP=APP,
// the one word that towline-shell takes for itself: it is a default that the
// command's own -a outdoes, and the server alone knows which commands take one.
func sshArgs(t target, words []string, options ...string) []string {
	argv := strings.Fields(os.Getenv("TOWLINE_SSH"))
	if len(argv) == 0 {
		argv = []string{"ssh"}
	}
	argv = append(argv, options...)
	if t.port != "" {
		argv = append(argv, "-p", t.port)
	}
	host := t.host
	if t.user != "" {
		host = t.user + "@" + host
	}
	argv = append(argv, "--", host)
	if t.app != "" {
		argv = append(argv, "TOWLINE_APP="+quote(t.app))
	}
	for _, w := range words {
		argv = append(argv, quote(w))
	}
	return argv
}

// quote writes a word for towline-shell's splitter; ssh puts blanks between words
// and takes one that begins with a dash for its own.
func quote(word string) string {
	plain := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"
	if word != "" && word[0] != '-' && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
