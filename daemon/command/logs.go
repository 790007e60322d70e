package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
)

var logSources = []string{"app", "router", "build", "test", "addon", "system"}

func logCommands() []*Command {
	return []*Command{
		{Name: "logs", Summary: "show what an app has written", Stream: Lines, On: on(theApp(daemon.View)), Run: runLogs,
			Help: "Logs are kept across deploys and restarts.\n\n  towline logs -t --ps web.1 -a shop",
			Flags: func(f *pflag.FlagSet) {
				f.IntP("num", "n", 100, "how many lines")
				f.BoolP("tail", "t", false, "go on with new lines")
				f.StringP("ps", "p", "", "only this process or type, like web.1 or web")
				f.StringP("source", "s", "", "only app, router, build, test, addon or system")
			}},
	}
}

func runLogs(ctx context.Context, call *Call) (Result, error) {
	q := daemon.LogQuery{App: call.App}
	q.Process, _ = call.Flags.GetString("ps")
	q.Source, _ = call.Flags.GetString("source")
	if err := call.logRange(&q); err != nil {
		return Result{}, err
	}
	known := q.Source == ""
	for _, s := range logSources {
		known = known || s == q.Source
	}
	if !known {
		return Result{}, daemon.Errorf(daemon.Invalid, "there is no log source %q", clip(q.Source)).WithHint("use app, router, build, test, addon or system")
	}
	if err := call.checkProcess(ctx, q); err != nil {
		return Result{}, err
	}
	return Result{}, call.printLogs(ctx, q, call.Apps.ReadLogs)
}

// checkProcess refuses a process that no release has and that has written nothing.
func (call *Call) checkProcess(ctx context.Context, q daemon.LogQuery) error {
	if q.Process == "" {
		return nil
	}
	releases, err := call.Apps.Releases(ctx, call.App)
	if err != nil {
		return err
	}
	types := map[string]bool{"run": true, "release": true}
	for _, r := range releases {
		for process := range r.Processes {
			types[process] = true
		}
	}
	if process, _, _ := strings.Cut(q.Process, "."); types[process] {
		return nil
	}
	written := false
	q.Lines, q.Follow = 1, false
	err = call.Apps.ReadLogs(ctx, q, func(daemon.LogLine) error { written = true; return nil })
	if err == nil && !written {
		err = daemon.Errorf(daemon.NotFound, "%s has no process %q", call.App, clip(q.Process)).
			WithHint("there are: %s", strings.Join(slices.Sorted(maps.Keys(types)), ", "))
	}
	return err
}

// logRange reads the flags that an app's and an add-on's logs share.
func (call *Call) logRange(q *daemon.LogQuery) error {
	q.Lines, _ = call.Flags.GetInt("num")
	q.Follow, _ = call.Flags.GetBool("tail")
	if q.Lines < 0 || q.Lines > 100_000 {
		return daemon.Errorf(daemon.Invalid, "%d lines are not possible", q.Lines).WithHint("give -n a number from 0 to 100000")
	}
	return nil
}

type logReader = func(context.Context, daemon.LogQuery, func(daemon.LogLine) error) error

// printLogs prints lines as they come. A user who ends a tail has got what they wanted.
func (call *Call) printLogs(ctx context.Context, q daemon.LogQuery, read logReader) error {
	enc := json.NewEncoder(call.Stdout)
	err := read(ctx, q, func(l daemon.LogLine) error {
		if call.JSON {
			return enc.Encode(l)
		}
		_, err := fmt.Fprintf(call.Stdout, "%s %s[%s]: %s\n", l.Time.UTC().Format("2006-01-02T15:04:05.000000Z07:00"), l.Source, l.Process, l.Text)
		return err
	})
	if q.Follow && (err == nil || errors.Is(err, context.Canceled)) {
		return ended(ctx)
	}
	return err
}
