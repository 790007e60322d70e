// Towline is the command line. On the host, as root, it talks to the daemon's
// socket; anywhere else it finds the host and the app in the git remote of the
// checkout and runs the user's own ssh. Nearly every command is the server's:
// only those that change the checkout or the user's own shell are in here.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"towline/cmd/internal/session"
	"towline/daemon/socket/wire"
)

// version is set by the build.
var version = "dev"

const exitInvalid = 2

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	session.JSON = session.WantsJSON(args)
	in, err := parse(args)
	if err != nil {
		return refuse(err, "towline help")
	}
	if text := in.ownHelp(); text != "" {
		fmt.Print(text)
		return 0
	}
	switch in.verb() {
	case "version", "--version":
		return printVersion(in)
	case "completion":
		return completion(in.words[1:])
	case "git:remote":
		return gitRemote(in)
	case "apps:open", "open":
		if open(in) {
			return 0
		}
	case "host:restore":
		return hostRestore(in)
	case "__complete":
		return complete(in, in.words[1:])
	}
	if in.verb() == "backups:download" && !in.asksHelp() && term.IsTerminal(1) {
		return refuse(errors.New("a dump is nothing for a terminal"), "towline backups:download BACKUP > my.dump")
	}
	if in.verb() == "host:backup" && !in.asksHelp() && term.IsTerminal(1) && !slices.ContainsFunc(in.words, writesNoStream) {
		return refuse(errors.New("a backup is nothing for a terminal"), "towline host:backup --recipient age1... > towline.age")
	}
	if in.forwards() {
		return forward(in)
	}
	if in.local() {
		code := session.Run(in.socket, wire.Request{Args: in.words, App: in.app})
		in.addHelp(code)
		return code
	}
	t, err := in.target(gitRemotes)
	if errors.Is(err, errNoHost) && in.isHelp() {
		fmt.Print(fallbackHelp + clientHelp)
		return 0
	}
	if err != nil {
		return refuse(err, "name it: towline --host HOST ..., or in a checkout: towline git:remote -a APP --host HOST")
	}
	return execSSH(t, in.words)
}

// writesNoStream tells of the flags with which host:backup leaves the standard output alone.
func writesNoStream(word string) bool {
	return word == "--verify" || word == "--to" || strings.HasPrefix(word, "--to=")
}

func refuse(err error, hint string) int {
	session.Complain(err, hint)
	return exitInvalid
}

// invocation is a command line: what is for this program, and the words that are
// the server's.
type invocation struct {
	app    string // default app; the server's own -a comes before it
	remote string // name of a git remote
	host   string // [user@]host[:port]
	socket string
	words  []string
}

// ownFlags are taken out of the command line wherever they stand, but for what
// is another program's: see foreign.
var ownFlags = map[string]func(*invocation) *string{
	"--remote": func(in *invocation) *string { return &in.remote },
	"-r":       func(in *invocation) *string { return &in.remote },
	"--host":   func(in *invocation) *string { return &in.host },
	"--socket": func(in *invocation) *string { return &in.socket },
}

// foreign are the commands whose arguments, from the first that is no flag, are a
// command line of the app's.
var foreign = map[string]bool{"run": true, "run:detached": true, "ps:exec": true}

// parse takes this program's flags out of args. An -a before the command is the
// default app; one after it is left to the server.
func parse(args []string) (invocation, error) {
	in := invocation{socket: os.Getenv("TOWLINE_SOCKET"), app: os.Getenv("TOWLINE_APP")}
	if in.socket == "" {
		in.socket = wire.DefaultPath
	}
	for i := 0; i < len(args); i++ {
		word := args[i]
		inForeign := len(in.words) > 0 && foreign[in.verb()]
		if word == "--" || inForeign && !strings.HasPrefix(word, "-") {
			in.words = append(in.words, args[i:]...)
			break
		}
		name, value, given := strings.Cut(word, "=")
		var p *string
		if own := ownFlags[name]; own != nil {
			p = own(&in)
		} else if len(in.words) == 0 && (name == "-a" || name == "--app") {
			p = &in.app
		}
		switch {
		case p != nil && given:
			*p = value
		case p != nil && i+1 == len(args):
			return in, fmt.Errorf("%s needs a value", word)
		case p != nil:
			i++
			*p = args[i]
		case inForeign && takesValue(word) && i+1 < len(args):
			in.words = append(in.words, word, args[i+1])
			i++
		default:
			in.words = append(in.words, word)
		}
	}
	return in, nil
}

// takesValue tells of the server's flags that may stand before a foreign command.
func takesValue(flag string) bool {
	switch flag {
	case "-a", "--app", "-e", "--env":
		return true
	}
	return false
}

// verb is the command's name, with a colon where the user may have typed a space.
func (in invocation) verb() string {
	if len(in.words) == 0 {
		return "help"
	}
	if len(in.words) > 1 {
		switch v := in.words[0] + ":" + in.words[1]; {
		case v == "git:remote", v == "apps:open", v == "addons:forward", v == "backups:download", programs[v], confirms[v]:
			return v
		}
	}
	return in.words[0]
}

// changes tells whether the command may change something, by its name: the rest of the
// table is the server's.
func (in invocation) changes() bool {
	if len(in.words) == 0 {
		return false
	}
	name := in.words[0]
	topic, action, ok := strings.Cut(name, ":")
	if !ok && len(in.words) > 1 && !strings.HasPrefix(in.words[1], "-") {
		action = in.words[1]
	}
	switch topic {
	case "create", "destroy", "scale", "restart", "rollback", "rename", "maintenance":
		return !in.asksHelp()
	case "apps", "config", "ps", "releases", "domains", "addons", "backups", "deploy", "plugins", "members", "access":
	default:
		return false
	}
	switch action {
	case "", "info", "get", "export", "output", "services", "plans", "logs", "forward", "schedules", "check", "download", "open", "list":
		return false
	}
	return !in.asksHelp()
}

func (in invocation) isHelp() bool {
	switch in.verb() {
	case "help", "--help", "-h":
		return true
	}
	return false
}

// asksHelp tells whether the help of a command is asked for.
func (in invocation) asksHelp() bool {
	return slices.Contains(in.words, "--help") || slices.Contains(in.words, "-h")
}

// local tells whether this is the host and its operator, who named no other.
func (in invocation) local() bool {
	if os.Geteuid() != 0 || in.host != "" || in.remote != "" || os.Getenv("TOWLINE_HOST") != "" {
		return false
	}
	_, err := os.Stat(in.socket)
	return err == nil
}
