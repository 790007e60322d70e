package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/apps"
)

func processCommands() []*Command {
	return []*Command{
		{Name: "ps", Summary: "list processes", On: on(theApp(daemon.View)), Run: runPs},
		{Name: "ps:scale", Args: "[TYPE=N | TYPE+N | TYPE-N ...]", Summary: "change how many processes run", Max: -1,
			On: on(theApp(daemon.Operate)), Run: runPsScale,
			Help: "Without arguments it shows the formation.\n\n  towline ps:scale web=2 worker+1 -a shop"},
		{Name: "ps:restart", Args: "[TYPE | PROCESS]", Summary: "replace processes by fresh ones, without a gap", Max: 1,
			On: on(theApp(daemon.Operate)),
			Run: func(ctx context.Context, call *Call) (Result, error) {
				process := ""
				if len(call.Args) == 1 {
					process = call.Args[0]
				}
				if err := call.Processes.Restart(ctx, call.App, call.Member, process, call.Stderr); err != nil {
					return Result{}, err
				}
				return did(object{"app": call.App, "process": process, "restarted": true}, "Restarted %s of %s", orAll(process), call.App)
			}},
		{Name: "ps:capabilities", Summary: "show which capabilities an app's processes have", On: on(theApp(daemon.View)), Run: runCapabilities},
		{Name: "ps:capabilities:set", Args: "CAPABILITY ... | none", Summary: "give an app's processes capabilities", Min: 1, Max: -1, On: on(theApp(daemon.View), theHost()),
			Run: runCapabilitiesSet, Help: capabilitiesHelp()},
	}
}

// capabilitiesHelp lists what can be given.
func capabilitiesHelp() string {
	text := "Processes have none, so that an image can't listen on port 80, or start as root and go on as another user.\n" +
		"What is given here takes the place of what was, for one-offs and the release phase too.\n\n"
	for _, c := range daemon.Capabilities {
		text += fmt.Sprintf("  %-18s %s\n", c.Name, c.For)
	}
	return text + "\n  towline ps:capabilities:set NET_BIND_SERVICE -a shop\n" +
		"  towline ps:capabilities:set CHOWN DAC_OVERRIDE FOWNER SETGID SETUID -a shop\n  towline ps:capabilities:set none -a shop"
}

func runCapabilities(ctx context.Context, call *Call) (Result, error) {
	info, err := call.Apps.Info(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	return call.showCapabilities(info.Capabilities)
}

func runCapabilitiesSet(ctx context.Context, call *Call) (Result, error) {
	names := strings.FieldsFunc(strings.Join(call.Args, " "), func(r rune) bool { return r == ' ' || r == ',' })
	if len(names) == 1 && names[0] == "none" {
		names = nil
	}
	now, err := call.Processes.SetCapabilities(ctx, call.App, call.Member, names, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	return call.showCapabilities(now)
}

func (call *Call) showCapabilities(names []string) (Result, error) {
	return show(object{"app": call.App, "capabilities": append([]string{}, names...)}, func(w io.Writer) {
		fmt.Fprintf(w, "=== %s Capabilities\n", call.App)
		if len(names) == 0 {
			fmt.Fprintln(w, "none")
		}
		table(w, func(row func(...any)) {
			for _, c := range daemon.Capabilities {
				if slices.Contains(names, c.Name) {
					row(c.Name, c.For)
				}
			}
		})
	})
}

func orAll(process string) string {
	if process == "" {
		return "all processes"
	}
	return process
}

// noProcesses says how an app gets processes, by how many it has of each type.
func noProcesses(app string, counts daemon.Formation) string {
	types := daemon.SortedKeys(counts)
	if len(types) == 0 {
		return "Deploy: git push towline main"
	}
	if slices.Contains(types, "web") {
		types = []string{"web"}
	}
	return fmt.Sprintf("Scale up: towline ps:scale %s=1 -a %s", types[0], app)
}

func runPs(ctx context.Context, call *Call) (Result, error) {
	counts, list, err := call.Processes.List(ctx, call.App)
	if err != nil {
		return Result{}, err
	}
	if list == nil {
		list = []apps.ProcessState{}
	}
	return show(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintf(w, "No processes run. %s\n", noProcesses(call.App, counts))
			return
		}
		heading := ""
		for _, p := range list {
			if p.Type != heading {
				heading = p.Type
				fmt.Fprintln(w, psHeading(p, counts[p.Type]))
			}
			state := p.State
			switch state {
			case "up":
				state = "up for " + lasted(time.Since(p.Since))
			case "crashed":
				state = fmt.Sprintf("crashed with exit code %d, %s", p.Exit, ago(p.Since))
			}
			fmt.Fprintf(w, "%s: %s (v%d)\n", p.Name, state, p.Release)
		}
	})
}

// psHeading is above the processes of a type. Of one-offs no number is wanted, and each has
// a command of its own.
func psHeading(p apps.ProcessState, wanted int) string {
	if p.Type == "run" {
		return "=== one-offs"
	}
	return fmt.Sprintf("=== %s (%d): %s", p.Type, wanted, p.Command)
}

func runPsScale(ctx context.Context, call *Call) (Result, error) {
	if len(call.Args) == 0 {
		counts, _, err := call.Processes.List(ctx, call.App)
		if err != nil {
			return Result{}, err
		}
		return show(counts, func(w io.Writer) { fmt.Fprintln(w, formation(counts)) })
	}
	var changes []apps.Change
	for _, word := range call.Args {
		c, err := parseChange(word)
		if err != nil {
			return Result{}, err
		}
		changes = append(changes, c)
	}
	next, err := call.Processes.Scale(ctx, call.App, call.Member, changes, call.Stderr)
	if err != nil {
		return Result{}, err
	}
	return show(next, func(w io.Writer) { fmt.Fprintf(w, "Scaled %s to %s\n", call.App, formation(next)) })
}

// parseChange reads "web=2", "worker+1" or "worker-1".
func parseChange(word string) (apps.Change, error) {
	bad := daemon.Errorf(daemon.Invalid, "%q is not a scale", clip(word)).WithHint("write TYPE=N, TYPE+N or TYPE-N, like web=2")
	i := strings.IndexAny(word, "=+")
	if i < 0 {
		i = strings.LastIndex(word, "-") // types may have dashes in their names
	}
	if i < 1 {
		return apps.Change{}, bad
	}
	n, err := strconv.Atoi(word[i+1:])
	if err != nil || n < 0 || strings.ContainsAny(word[i+1:], "+-") {
		return apps.Change{}, bad
	}
	c := apps.Change{Type: word[:i], Count: n, Relative: word[i] != '='}
	if word[i] == '-' {
		c.Count = -n
	}
	return c, nil
}
