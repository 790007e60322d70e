// Package command is the verb table: every command that users can type, one file for
// each family. A command checks its words, calls one method of the daemon, and
// returns what it came to; the table shows that as text or JSON.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/activity"
	"towline/daemon/addons"
	"towline/daemon/apps"
	"towline/daemon/backups"
	"towline/daemon/ci"
	"towline/daemon/conform"
	"towline/daemon/journal"
	"towline/daemon/metrics"
	"towline/daemon/people"
	"towline/daemon/pipelines"
)

// Command is one verb.
type Command struct {
	Name    string // "apps:create"
	Args    string // as shown in its usage, "NAME"
	Summary string // one line
	Help    string // more, with examples; may be empty
	Min     int    // positional arguments
	Max     int    // -1: no limit
	On      []Subject
	// Confirm is the name that must be typed twice before the command runs; empty: none.
	// Effect says what it will do; nil: it removes what is named. Exists fails if there is
	// nothing to confirm, where the subjects do not tell.
	Confirm func(*Call) string
	Effect  func(*Call) string
	Exists  func(context.Context, *Call) error
	// Rest: everything after the first word is the command's, flags included.
	Rest bool
	// Stream is what it writes by itself. With has another for each flag that makes it so.
	Stream Stream
	With   map[string]Stream
	Hidden bool
	// Internal: a program of Towline's asks; nobody can type it.
	Internal bool
	Flags    func(*pflag.FlagSet)
	Run      func(context.Context, *Call) (Result, error)
}

// The rooms, each by the names of what there is in it.
type (
	AppRoom    = apps.Room
	AddonRoom  = addons.Room
	BackupRoom = backups.Room
)

// Rooms are what commands work with.
type Rooms struct {
	AppRoom
	AddonRoom
	BackupRoom
	People    *people.People
	Activity  *activity.Log
	Suite     *conform.Suite
	Pipelines *pipelines.Pipelines
	Tests     *ci.Tests
	Metrics   *metrics.Metrics
}

// Call is one invocation of a command.
type Call struct {
	Rooms
	Member   string // empty: the operator on the host
	Key      string // fingerprint of the member's key that opened the connection
	App      string
	Args     []string
	Flags    *pflag.FlagSet
	JSON     bool
	Stdin    io.Reader
	Stdout   io.Writer // of commands that stream; the others write nothing by themselves
	Stderr   io.Writer
	Terminal bool
	Term     string
	Size     daemon.Size
	Resize   <-chan daemon.Size
	Raw      func()          // hands the user's terminal over, key by key
	Backup   daemon.Backup   // that the first argument names, in commands on a backup
	Targets  []string        // of a promotion: what its caller was found to have rights on
	denied   activity.Denied // the subject that its caller may not do this with
	table    *Table
	vitals   *vitals
	request  Request
}

// Request is what arrives from a user.
type Request struct {
	Member   string
	Key      string // by which the member has connected
	Address  string // from which; empty: from the machine itself
	App      string // of the checkout they stand in; a default only
	Internal bool   // a program of Towline's asks in the member's name
	Args     []string
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
	Terminal bool
	Term     string
	Size     daemon.Size
	Resize   <-chan daemon.Size
	Raw      func()
	End      func(cause error) // ends the caller's streams; may be nil
	// Width is how many columns the output is shown in; 0: nobody looks at it. Colour: they
	// like it in colour.
	Width  int
	Colour bool
	// Render takes what the command returns, in place of Stdout; nil: that gets it as text, or
	// as JSON.
	Render func(Result) error
	// completing: the command runs for its names alone, and nobody is shown what it returns.
	completing bool
}

// Table holds all commands.
type Table struct {
	Rooms
	host     HostParts
	commands map[string]*Command
	quiet    time.Duration // see quietFor
}

// New returns the table of everything that there is to do in the rooms, and on the machine.
func New(r Rooms, host HostParts) *Table {
	t := &Table{Rooms: r, host: host, commands: map[string]*Command{}, quiet: quietFor}
	families := [][]*Command{
		helpCommands(), appCommands(), configCommands(), processCommands(), runCommands(), logCommands(), builderCommands(), activityCommands(), metricsCommands(),
		buildCommands(), releaseCommands(), pipelineCommands(), testCommands(), domainCommands(), routerCommands(), addonCommands(), addonReachCommands(), pluginCommands(), backupCommands(), memberCommands(), accessCommands(), keyCommands(), gitCommands(), hostCommands(),
	}
	for _, family := range families {
		for _, c := range family {
			t.commands[c.Name] = c
		}
	}
	return t
}

// Run carries out a request and returns its exit code. Errors go to Stderr.
func (t *Table) Run(ctx context.Context, r Request) int {
	err := t.run(ctx, r)
	if err != nil {
		printError(r.screen(r.Stderr), err, t.wantsJSON(r.Args))
	}
	return exitCode(err)
}

// run turns a panic of this one command into its error.
func (t *Table) run(ctx context.Context, r Request) (err error) {
	defer daemon.Contain("a command", &err)
	words := r.Args
	if len(words) == 0 {
		words = []string{"help"}
	}
	c, rest, err := t.find(words)
	if err != nil {
		return err
	}
	if c.Internal && !r.Internal {
		return daemon.Errorf(daemon.Invalid, "%s is not for people", c.Name).WithHint("git push towline main")
	}
	v, stdout, stderr := watch(r.Stdout, r.Stderr, t.quiet)
	defer v.end()
	call := &Call{
		Rooms: t.Rooms, Member: r.Member, Key: r.Key, App: r.App, Stdin: r.Stdin, Stderr: stderr, vitals: v, request: r,
		Terminal: r.Terminal, Term: r.Term, Size: r.Size, Resize: r.Resize, Raw: r.Raw, table: t,
	}
	help, err := call.parse(c, rest)
	if err != nil {
		return err
	}
	stream := call.stream(c)
	out := stdout
	if stream != Bytes {
		out, call.Stderr = r.screen(stdout), r.screen(stderr)
	}
	if help {
		printHelp(out, c)
		return nil
	}
	switch {
	case stream == Whole:
		call.Stdout = io.Discard
	case stream == Progress && call.JSON:
		call.Stdout = call.Stderr
	default:
		call.Stdout = out
	}
	ctx, closed, err := call.open(ctx, c, r.End)
	if err != nil {
		return err
	}
	defer closed()
	if err := call.confirm(ctx, c); err != nil {
		return err
	}
	follows := false
	for _, flag := range []string{"tail", "follow"} {
		given, _ := call.Flags.GetBool(flag)
		follows = follows || given
	}
	changes := call.App
	if len(call.Targets) > 0 {
		changes = call.Targets[0]
	}
	if stream == Bytes || follows {
		v.pause(true)
	} else {
		defer v.onInterrupt(ctx, changes)()
	}
	ctx = daemon.WithCaller(ctx, call.caller())
	result, err := c.Run(journal.TellWaits(ctx, call.Stderr), call)
	if why := ended(ctx); why != nil && (err != nil || result.Code != 0) {
		return why
	}
	if err != nil {
		return err
	}
	if err := call.render(out, result); err != nil {
		return err
	}
	if result.Code != 0 {
		return exit(result.Code)
	}
	return nil
}

// screen is what the request's output is shown on.
func (r Request) screen(w io.Writer) io.Writer {
	return &screen{Writer: w, width: r.Width, colour: r.Colour}
}

// wantsJSON tells whether words ask for JSON, even if they are wrong otherwise.
func (t *Table) wantsJSON(words []string) bool {
	if len(words) == 0 {
		return false
	}
	if c, _, err := t.find(words); err == nil && c.Stream == Bytes {
		return false
	}
	if i := slices.Index(words, "--"); i >= 0 {
		words = words[:i]
	}
	return slices.Contains(words, "--json")
}

// find looks up the command that words begin with. "config set" is config:set, as
// long as there is one of that name.
func (t *Table) find(words []string) (*Command, []string, error) {
	if words[0] == "--help" || words[0] == "-h" {
		return t.commands["help"], words[1:], nil
	}
	if words[0] == "--version" {
		return t.commands["version"], words[1:], nil
	}
	if len(words) > 1 && words[0] != "run" {
		if c := t.commands[words[0]+":"+words[1]]; c != nil {
			return c, words[2:], nil
		}
	}
	if c := t.commands[words[0]]; c != nil && !t.mistyped(c, words) {
		return c, words[1:], nil
	}
	if name := aliases[words[0]]; name != "" {
		return t.commands[name], words[1:], nil
	}
	if strings.HasPrefix(words[0], "-") {
		return nil, nil, daemon.Errorf(daemon.Invalid, "%q is no command", clip(words[0])).WithHint("flags follow the command: towline COMMAND -a APP --json")
	}
	return nil, nil, daemon.Errorf(daemon.Invalid, "there is no command %q", clip(t.meant(words))).WithHint("%s", t.suggest(words))
}

// parse reads flags and counts arguments. help tells that it was asked for.
func (call *Call) parse(c *Command, words []string) (help bool, err error) {
	f := c.flagSet()
	if c.Rest {
		words = appFirst(words)
	}
	if err := f.Parse(words); err != nil {
		return false, flagError(c, f, err)
	}
	call.Flags, call.Args = f, f.Args()
	help, _ = f.GetBool("help")
	call.JSON, _ = f.GetBool("json")
	if app, _ := f.GetString("app"); c.takesApp() && f.Changed("app") {
		call.App = app
	}
	wantsApp := c.takesApp()
	if other := c.inPlaceOfApp(); other != "" && f.Changed(other) {
		if f.Changed("app") {
			return false, usageError(c, "%s is about an app or a %s, and not both", c.Name, other)
		}
		wantsApp, call.App = false, "" // that of the checkout is not meant
	}
	switch n := len(call.Args); {
	case help:
		return true, nil
	case wantsApp && call.App == "":
		hint := "add -a NAME; towline apps lists them"
		if c.Max >= 0 && n > c.Max && daemon.CheckAppName(call.Args[n-1]) == nil {
			hint = "an app is named by -a: write -a " + call.Args[n-1]
		}
		return false, usageError(c, "no app was named").WithHint("%s", hint)
	case n < c.Min:
		return false, usageError(c, "%s needs %s", c.Name, c.Args)
	case c.Max >= 0 && n > c.Max:
		return false, usageError(c, "%q is one argument too many", clip(call.Args[c.Max]))
	}
	return false, nil
}

// appFirst moves a trailing "-a NAME" to the front: users of run type it last, but
// everything after the first word of their command is otherwise theirs.
func appFirst(words []string) []string {
	n := len(words)
	if slices.Contains(words, "--") || n < 3 {
		return words
	}
	if words[n-2] == "-a" || words[n-2] == "--app" {
		return append([]string{"-a", words[n-1]}, words[:n-2]...)
	}
	return words
}

func usageError(c *Command, format string, args ...any) *daemon.Error {
	return daemon.Errorf(daemon.Invalid, format, args...).WithHint("usage: %s", usage(c))
}

// exitCodes maps kinds of error to what the shell sees.
var exitCodes = map[daemon.Kind]int{
	daemon.Failed: 1, daemon.Invalid: 2, daemon.NotFound: 3, daemon.Forbidden: 4,
	daemon.Exists: 5, daemon.Conflict: 6, daemon.Unavailable: 7,
}

// exit is the error of a command that has an exit code of its own, like run.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func exitCode(err error) int {
	var code exit
	var e *daemon.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, context.Canceled):
		return 130
	case errors.As(err, &e) && exitCodes[e.Kind] != 0:
		return exitCodes[e.Kind]
	}
	return 1
}

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "..."
	}
	return s
}
