package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/apps"
	"towline/daemon/dotenv"
	"towline/daemon/work"
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
		{Name: "config:export", Summary: "print config vars as KEY=value lines", On: on(theApp(daemon.Operate)), Run: runConfigExport,
			Help: "config:import and a shell read them back exactly. The config vars of add-ons are left out: in another\n" +
				"app they would lead to this one's data. config --shell has them.\n\n  towline config:export -a shop > .env"},
		{Name: "config:import", Summary: "set config vars from KEY=value lines on standard input", On: on(theApp(daemon.Operate)),
			Run: runConfigImport, Flags: noRestart,
			Help: "Reads what config:export writes and .env files hold: comments, quotes, values of several lines and a leading\n" +
				"\"export\". Variables and commands in values are not replaced but refused, with their line: single quotes take\n" +
				"a value as it is. Config vars of the app's add-ons are left as they are.\n\n  towline config:import -a shop < .env"},
	}
}

func runConfig(ctx context.Context, call *Call) (Result, error) {
	vars, err := call.config(ctx)
	if err != nil {
		return Result{}, err
	}
	if vars == nil {
		vars = map[string]string{}
	}
	return show(vars, func(w io.Writer) {
		if shell, _ := call.Flags.GetBool("shell"); shell {
			printDotenv(w, call.App, vars)
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

// config is what the caller is shown of the config vars, which is recorded.
func (call *Call) config(ctx context.Context, names ...string) (map[string]string, error) {
	if call.request.completing {
		return call.Releases.Config(ctx, call.App)
	}
	return call.Releases.ReadConfig(ctx, call.App, call.Member, names...)
}

// printDotenv writes lines that a shell, and config:import, read back exactly.
func printDotenv(w io.Writer, app string, vars map[string]string) {
	fmt.Fprintf(w, "# Config vars of %s\n", app)
	for _, key := range slices.Sorted(maps.Keys(vars)) {
		_ = dotenv.Write(w, key, vars[key]) // a user who hung up is no error
	}
}

// runConfigExport leaves add-ons' config vars out: imported into another app, they would
// lead it to this one's data.
func runConfigExport(ctx context.Context, call *Call) (Result, error) {
	vars, err := call.config(ctx)
	if err != nil {
		return Result{}, err
	}
	owner, err := call.Apps.AddonVars(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	own := map[string]string{}
	for key, value := range vars {
		if owner[key] == "" {
			own[key] = value
		}
	}
	return show(own, func(w io.Writer) {
		printDotenv(w, call.App, own)
		for _, key := range slices.Sorted(maps.Keys(owner)) {
			fmt.Fprintf(w, "# %s is left out: it belongs to the add-on %s\n", key, owner[key])
		}
	})
}

func runConfigGet(ctx context.Context, call *Call) (Result, error) {
	vars, err := call.config(ctx, call.Args[0])
	if err != nil {
		return Result{}, err
	}
	value, ok := vars[call.Args[0]]
	if !ok {
		return Result{}, daemon.Errorf(daemon.NotFound, "%s has no config var %q", call.App, clip(call.Args[0])).WithHint("towline config -a %s", call.App)
	}
	return show(value, func(w io.Writer) { fmt.Fprintln(w, value) })
}

func runConfigSet(ctx context.Context, call *Call) (Result, error) {
	set, err := assignments(call.Args)
	if err != nil {
		return Result{}, err
	}
	return setConfig(ctx, call, set)
}

// assignments reads words as KEY=value.
func assignments(words []string) (map[string]string, error) {
	set := map[string]string{}
	for _, word := range words {
		key, value, found := strings.Cut(word, "=")
		if !found {
			return nil, daemon.Errorf(daemon.Invalid, "%q has no =", clip(word)).WithHint("write KEY=value; to remove one: towline config:unset KEY")
		}
		if _, twice := set[key]; twice {
			return nil, daemon.Errorf(daemon.Invalid, "%s is given twice", clip(key))
		}
		set[key] = value
	}
	return set, nil
}

func setConfig(ctx context.Context, call *Call, set map[string]string) (Result, error) {
	noRestart, _ := call.Flags.GetBool("no-restart")
	rel, err := call.Releases.SetConfig(ctx, apps.ConfigChange{
		App: call.App, Member: call.Member, Set: set, NoRestart: noRestart,
	}, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	keys := slices.Sorted(maps.Keys(set))
	return show(rel, func(w io.Writer) {
		fmt.Fprintf(w, "Set %s; %s is at v%d\n", strings.Join(keys, ", "), call.App, rel.Version)
	})
}

func runConfigUnset(ctx context.Context, call *Call) (Result, error) {
	noRestart, _ := call.Flags.GetBool("no-restart")
	rel, err := call.Releases.SetConfig(ctx, apps.ConfigChange{
		App: call.App, Member: call.Member, Unset: call.Args, NoRestart: noRestart,
	}, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	return show(rel, func(w io.Writer) {
		fmt.Fprintf(w, "Removed %s; %s is at v%d\n", strings.Join(call.Args, ", "), call.App, rel.Version)
	})
}

// maxImport bounds what config:import reads, in bytes.
const maxImport = 4 << 20

func runConfigImport(ctx context.Context, call *Call) (Result, error) {
	text, err := io.ReadAll(io.LimitReader(work.NewInput(call.input("KEY=value lines"), 0), maxImport+1))
	if err != nil {
		return Result{}, daemon.Errorf(daemon.Invalid, "can't read the lines: %w", err).WithHint("nothing was changed")
	}
	if len(text) > maxImport {
		return Result{}, daemon.Errorf(daemon.Invalid, "standard input is longer than %s", size(maxImport)).WithHint("nothing was changed")
	}
	vars, err := dotenv.Parse(text)
	if err != nil {
		var e *dotenv.Error
		errors.As(err, &e)
		return Result{}, daemon.Errorf(daemon.Invalid, "%w", err).WithHint("%s; nothing was changed", e.Hint)
	}
	if len(vars) == 0 {
		return Result{}, daemon.Errorf(daemon.Invalid, "standard input has no KEY=value lines").WithHint("towline config:import -a %s < .env", call.App)
	}
	owner, err := call.Apps.AddonVars(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	set := map[string]string{}
	for _, v := range vars {
		if err := daemon.CheckConfigKey(v.Key); err != nil {
			return Result{}, daemon.Errorf(daemon.Invalid, "line %d: %w", v.Line, err).WithHint("correct or remove the line; nothing was changed")
		}
		if addon := owner[v.Key]; addon != "" {
			fmt.Fprintf(call.Stderr, "%s belongs to the add-on %s and is left as it is\n", v.Key, addon)
			continue
		}
		set[v.Key] = v.Value
	}
	if len(set) == 0 {
		return Result{}, daemon.Errorf(daemon.Invalid, "there is nothing to set").WithHint("nothing was changed")
	}
	return setConfig(ctx, call, set)
}
