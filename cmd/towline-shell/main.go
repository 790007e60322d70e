// Towline-shell is what sshd runs for everyone who logs in as the towline user:
// it says who is calling and what they asked, to the daemon or to git. It never
// starts a shell. Called as pre-receive it is the hook that hands a push to the
// daemon.
//
// The member's name and the key's fingerprint come from the forced command of the key; what they asked
// comes from sshd in SSH_ORIGINAL_COMMAND. As the login shell of the account it
// is given the forced command after -c; someone whose key had none would reach
// nothing but the help.
package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"towline/cmd/internal/session"
	"towline/daemon/shell"
	"towline/daemon/socket/wire"
)

const exitInvalid = 2

// options are the forced command's.
type options struct {
	member       string
	key          string // fingerprint of theirs that sshd has let in
	socket       string // of the daemon
	repositories string // directory that holds every repository
	hooks        string // directory that holds pre-receive, a link to this program
	maxPush      string // as git's receive.maxInputSize
	maxMemory    uint64 // bytes, of each process of git's; 0: no limit
}

func main() {
	if filepath.Base(os.Args[0]) == "pre-receive" {
		os.Exit(preReceive(os.Stdin))
	}
	o, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(refuse(err, "this is run by sshd: command=\"towline-shell --member NAME\" before a key"))
	}
	words, err := shell.Split(os.Getenv("SSH_ORIGINAL_COMMAND"))
	if err != nil {
		os.Exit(refuse(err, `quote once for your own shell and once more for the host, like: run -- rake '"a b"'`))
	}
	os.Exit(o.run(words))
}

// refuse tells what is wrong with the input.
func refuse(err error, hint string) int {
	session.Complain(err, hint)
	return exitInvalid
}

// parse reads the options of the forced command, or of the forced command that
// sshd put after -c. There it may begin with exec: where the account has a real
// shell, which sshd then starts first, that shell must not stay in between, or
// Ctrl-C ends it and not the command.
func parse(args []string) (options, error) {
	if len(args) == 2 && args[0] == "-c" {
		words, err := shell.Split(args[1])
		if err != nil {
			return options{}, err
		}
		if len(words) > 0 && words[0] == "exec" {
			words = words[1:]
		}
		if len(words) == 0 || filepath.Base(words[0]) != "towline-shell" {
			return options{}, errors.New("this key belongs to no member")
		}
		args = words[1:]
	}
	o := options{
		socket:       wire.DefaultPath,
		repositories: "/var/lib/towline/git",
		hooks:        "/usr/lib/towline/hooks",
		maxPush:      "1g",
	}
	maxMemory := "2g"
	flags := map[string]*string{
		"member": &o.member, "key": &o.key, "socket": &o.socket, "repositories": &o.repositories, "hooks": &o.hooks, "max-push": &o.maxPush,
		"max-memory": &maxMemory,
	}
	for len(args) > 0 {
		name, value, given := strings.Cut(args[0], "=")
		p := flags[strings.TrimPrefix(name, "--")]
		if p == nil || !strings.HasPrefix(name, "--") {
			return o, fmt.Errorf("towline-shell has no option %q", args[0])
		}
		args = args[1:]
		if !given {
			if len(args) == 0 {
				return o, fmt.Errorf("%s needs a value", name)
			}
			value, args = args[0], args[1:]
		}
		*p = value
	}
	var err error
	if o.maxMemory, err = parseSize(maxMemory); err != nil {
		return o, fmt.Errorf("--max-memory: %w", err)
	}
	if o.member == "" {
		return o, errors.New("this key belongs to no member")
	}
	if !memberName(o.member) {
		return o, fmt.Errorf("member name %q is not allowed", o.member)
	}
	if o.key != "" && !fingerprint(o.key) {
		return o, fmt.Errorf("key fingerprint %q is not allowed", o.key)
	}
	return o, nil
}

// run carries out what the member asked. The first words may be TOWLINE_APP=NAME, the app
// that is meant when the command names none, and TOWLINE_WIDTH=COLUMNS and TOWLINE_COLOUR=1,
// which tell of the terminal that the caller's ssh writes to.
func (o options) run(words []string) int {
	req := wire.Request{Member: o.member, Key: o.key, Address: address()}
	for len(words) > 0 {
		name, value, _ := strings.Cut(words[0], "=")
		switch name {
		case "TOWLINE_APP":
			req.App = value
		case "TOWLINE_WIDTH":
			width, _ := strconv.ParseUint(value, 10, 16) // nonsense is no width
			req.Width = uint16(width)
		case "TOWLINE_COLOUR":
			req.Colour = value == "1"
		default:
			name = ""
		}
		if name == "" {
			break
		}
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{"help"}
	}
	switch words[0] {
	case "git-receive-pack", "git-upload-pack", "git-upload-archive", "git-lfs-authenticate", "git-lfs-transfer":
		return o.git(words)
	}
	req.Args = words
	return session.Run(o.socket, req)
}

// address is where the member's connection comes from: sshd puts it before its port, and its own
// address and port. What is no address is none.
func address() string {
	from, _, _ := strings.Cut(os.Getenv("SSH_CONNECTION"), " ")
	if _, err := netip.ParseAddr(from); err != nil {
		return ""
	}
	return from
}

// memberName and appName repeat the daemon's rules: these names reach file names
// and environments here.
func memberName(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") == "" && s[0] >= 'a'
}

// fingerprint tells whether s looks like one of ssh-keygen's, which reach environments here.
func fingerprint(s string) bool {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
	digits, ok := strings.CutPrefix(s, "SHA256:")
	return ok && digits != "" && len(digits) <= 64 && strings.Trim(digits, plain) == ""
}

func appName(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && s[0] != '-'
}
