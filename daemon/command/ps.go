package command

import (
	"context"
	"fmt"
	"io"
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
			Run: func(ctx context.Context, call *Call) error {
				process := ""
				if len(call.Args) == 1 {
					process = call.Args[0]
				}
				if err := call.Processes.Restart(ctx, call.App, call.Member, process, call.Stderr); err != nil {
					return err
				}
				return call.did(object{"app": call.App, "process": process, "restarted": true}, "Restarted %s of %s", orAll(process), call.App)
			}},
	}
}

func orAll(process string) string {
	if process == "" {
		return "all processes"
	}
	return process
}

func runPs(ctx context.Context, call *Call) error {
	counts, list, err := call.Processes.List(ctx, call.App)
	if err != nil {
		return err
	}
	if list == nil {
		list = []apps.ProcessState{}
	}
	return call.result(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintf(w, "No processes run. %s\n", map[bool]string{true: "Deploy: git push towline main", false: "Scale up: towline ps:scale web=1 -a " + call.App}[len(counts) == 0])
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

func runPsScale(ctx context.Context, call *Call) error {
	if len(call.Args) == 0 {
		counts, _, err := call.Processes.List(ctx, call.App)
		if err != nil {
			return err
		}
		return call.result(counts, func(w io.Writer) { fmt.Fprintln(w, formation(counts)) })
	}
	var changes []apps.Change
	for _, word := range call.Args {
		c, err := parseChange(word)
		if err != nil {
			return err
		}
		changes = append(changes, c)
	}
	next, err := call.Processes.Scale(ctx, call.App, call.Member, changes, call.Stderr)
	if err != nil {
		return err
	}
	return call.result(next, func(w io.Writer) { fmt.Fprintf(w, "Scaled %s to %s\n", call.App, formation(next)) })
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
