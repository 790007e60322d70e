package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
)

func configCommands() []*Command {
	noRestart := func(f *pflag.FlagSet) {
		f.Bool("no-restart", false, "leave the running processes as they are")
	}
	return []*Command{
		{Name: "config", Summary: "list config vars", On: on(theApp(daemon.Operate)), Run: runConfig,
			Flags: func(f *pflag.FlagSet) { f.BoolP("shell", "s", false, "print lines that a shell can read") }},
		{Name: "config:get", Args: "KEY", Summary: "print one config var", Min: 1, Max: 1, On: on(theApp(daemon.Operate)), Run: runConfigGet},
		{Name: "config:set", Args: "KEY=value [...]", Summary: "set config vars and restart", Min: 1, Max: -1, On: on(theApp(daemon.Operate)), Run: runConfigSet, Flags: noRestart,
			Help: "All are set in one release. If it doesn't serve, the old values stay.\n\n  towline config:set RACK_ENV=production SECRET_KEY_BASE=... -a shop"},
		{Name: "config:unset", Args: "KEY [...]", Summary: "remove config vars and restart", Min: 1, Max: -1, On: on(theApp(daemon.Operate)), Run: runConfigUnset, Flags: noRestart},
		{Name: "config:export", Summary: "print config vars as KEY=value lines", On: on(theApp(daemon.Operate)),
			Run: func(ctx context.Context, call *Call) error {
				vars, err := call.Daemon.Config(ctx, call.App)
				if err != nil {
					return err
				}
				return call.result(vars, func(w io.Writer) { printShell(w, vars) })
			}},
		{Name: "config:import", Summary: "set config vars from KEY=value lines on standard input", On: on(theApp(daemon.Operate)),
			Run: runConfigImport, Flags: noRestart,
			Help: "Reads what config:export and most .env files write: comments, quotes and a leading \"export\" are understood.\n\n  towline config:import -a shop < .env"},
	}
}

func runConfig(ctx context.Context, call *Call) error {
	vars, err := call.Daemon.Config(ctx, call.App)
	if err != nil {
		return err
	}
	if vars == nil {
		vars = map[string]string{}
	}
	return call.result(vars, func(w io.Writer) {
		if shell, _ := call.Flags.GetBool("shell"); shell {
			printShell(w, vars)
			return
		}
		fmt.Fprintf(w, "=== %s Config Vars\n", call.App)
		table(w, func(row func(...any)) {
			for _, key := range slices.Sorted(maps.Keys(vars)) {
				row(key+":", strings.ReplaceAll(vars[key], "\n", "\\n"))
			}
		})
	})
}

// printShell writes lines that a shell, and config:import, read back exactly.
func printShell(w io.Writer, vars map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(vars)) {
		fmt.Fprintf(w, "%s='%s'\n", key, strings.ReplaceAll(vars[key], "'", `'\''`))
	}
}

func runConfigGet(ctx context.Context, call *Call) error {
	vars, err := call.Daemon.Config(ctx, call.App)
	if err != nil {
		return err
	}
	value, ok := vars[call.Args[0]]
	if !ok {
		return daemon.Errorf(daemon.NotFound, "%s has no config var %q", call.App, clip(call.Args[0])).WithHint("towline config -a %s", call.App)
	}
	return call.result(value, func(w io.Writer) { fmt.Fprintln(w, value) })
}

func runConfigSet(ctx context.Context, call *Call) error {
	set := map[string]string{}
	for _, word := range call.Args {
		key, value, found := strings.Cut(word, "=")
		if !found {
			return daemon.Errorf(daemon.Invalid, "%q has no =", clip(word)).WithHint("write KEY=value; to remove one: towline config:unset KEY")
		}
		if _, twice := set[key]; twice {
			return daemon.Errorf(daemon.Invalid, "%s is given twice", clip(key))
		}
		set[key] = value
	}
	return setConfig(ctx, call, set)
}

func setConfig(ctx context.Context, call *Call, set map[string]string) error {
	noRestart, _ := call.Flags.GetBool("no-restart")
	rel, err := call.Daemon.SetConfig(ctx, daemon.ConfigChange{
		App: call.App, Member: call.Member, Set: set, NoRestart: noRestart,
	}, call.Stderr)
	if err != nil {
		return err
	}
	keys := slices.Sorted(maps.Keys(set))
	return call.result(rel, func(w io.Writer) {
		fmt.Fprintf(w, "Set %s; %s is at v%d\n", strings.Join(keys, ", "), call.App, rel.Version)
	})
}

func runConfigUnset(ctx context.Context, call *Call) error {
	noRestart, _ := call.Flags.GetBool("no-restart")
	rel, err := call.Daemon.SetConfig(ctx, daemon.ConfigChange{
		App: call.App, Member: call.Member, Unset: call.Args, NoRestart: noRestart,
	}, call.Stderr)
	if err != nil {
		return err
	}
	return call.result(rel, func(w io.Writer) {
		fmt.Fprintf(w, "Removed %s; %s is at v%d\n", strings.Join(call.Args, ", "), call.App, rel.Version)
	})
}

func runConfigImport(ctx context.Context, call *Call) error {
	set := map[string]string{}
	lines := bufio.NewScanner(io.LimitReader(call.Stdin, 4<<20))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, found := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if !found {
			return daemon.Errorf(daemon.Invalid, "line %d has no =", n).WithHint("write KEY=value; nothing was changed")
		}
		set[strings.TrimSpace(key)] = unquote(value)
	}
	if err := lines.Err(); err != nil {
		return daemon.Errorf(daemon.Invalid, "can't read the lines: %w", err)
	}
	if len(set) == 0 {
		return daemon.Errorf(daemon.Invalid, "standard input has no KEY=value lines").WithHint("towline config:import -a %s < .env", call.App)
	}
	return setConfig(ctx, call, set)
}

// unquote undoes one pair of quotes around a value, and what printShell writes.
func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return strings.ReplaceAll(s[1:len(s)-1], `'\''`, "'")
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return strings.NewReplacer(`\n`, "\n", `\"`, `"`, `\\`, `\`).Replace(s[1 : len(s)-1])
	}
	return s
}
