package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"towline/cmd/internal/session"
	"towline/daemon/shell"
)

// execSSH turns this process into the user's own ssh; or, for a command that changes
// something, waits for it, to say what Ctrl-C has left behind: ssh ends at once then, and
// the command may go on.
func execSSH(t target, words []string) int {
	options := []string{"-T"}
	if wantsTerminal(words) && term.IsTerminal(0) && term.IsTerminal(1) {
		// Without the level ssh ends every such command by saying that it does.
		options = []string{"-t", "-o", "LogLevel=ERROR"}
	}
	argv := sshArgs(t, words, options...)
	path, err := exec.LookPath(argv[0])
	in := invocation{words: words}
	if err == nil && options[0] == "-T" && (in.changes() || in.helpsWithAll()) {
		var code int
		if code, err = runSSH(path, argv); err == nil {
			in.addHelp(code)
			return code
		}
	} else if err == nil {
		err = syscall.Exec(path, argv, os.Environ())
	}
	session.Complain(fmt.Errorf("run ssh: %w", err), "install OpenSSH's client, or say in TOWLINE_SSH what to run")
	return 1
}

// runSSH waits for ssh, which shares the terminal and so the user's Ctrl-C.
func runSSH(path string, argv []string) (code int, err error) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	defer signal.Stop(interrupted)
	cmd := exec.Cmd{Path: path, Args: argv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	err = cmd.Run()
	var exited *exec.ExitError
	if err == nil {
		return 0, nil
	}
	soon := time.Duration(0)
	if errors.As(err, &exited) && (exited.ExitCode() < 0 || exited.ExitCode() == 255) {
		soon = time.Second // ssh may have heard of it before this program
	}
	select {
	case <-interrupted:
		fmt.Fprintln(os.Stderr, "-----> Interrupted. What had begun goes on: towline releases and towline ps tell what came of it")
		return session.ExitInterrupted, nil
	case <-time.After(soon):
	}
	if exited != nil && exited.ExitCode() >= 0 {
		return exited.ExitCode(), nil
	}
	return 0, err
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

// look tells towline-shell of the terminal that ssh writes to, which sshd does not know of
// when there is none at its end.
func look() (words []string) {
	if width := session.Width(); width > 0 {
		words = append(words, fmt.Sprintf("TOWLINE_WIDTH=%d", width))
		if session.Colour() {
			words = append(words, "TOWLINE_COLOUR=1")
		}
	}
	return words
}

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
	argv = append(argv, look()...)
	for _, w := range words {
		argv = append(argv, quote(w))
	}
	return argv
}

// quote writes a word for towline-shell's splitter; ssh puts blanks between words
// and takes one that begins with a dash for its own.
func quote(word string) string {
	if strings.HasPrefix(word, "-") {
		return shell.Protect(word)
	}
	return shell.Quote(word)
}
