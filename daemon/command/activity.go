package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/activity"
)

func activityCommands() []*Command {
	return []*Command{
		{Name: "activity", Summary: "show who did what, and how to undo it", Max: 0, On: on(appOfFlag(daemon.View)), Run: runActivity, With: map[string]Stream{"follow": Lines},
			Help: "Without -a it is that of all apps that you may view; administrators see what is of no app too. Names of config vars\n" +
				"are shown, and never values. See docs/activity.md.\n\n" +
				"  towline activity -a shop --since 7d\n" +
				"  towline activity --kind config --member alice\n" +
				"  towline activity --kind release.deploy --follow",
			Flags: func(f *pflag.FlagSet) {
				f.StringP("app", "a", "", "only that of this app")
				f.String("member", "", "only what this member did; operator is who is root on the host")
				f.String("kind", "", "only this kind, or all of a noun: config.set, or config")
				f.String("since", "", "only from this time on: 2h, 7d, or 2026-01-31")
				f.Int("limit", 50, "the newest so many; 0: all")
				f.BoolP("follow", "f", false, "go on with what comes")
				_ = f.SetAnnotation("since", valueKind, []string{"TIME"})
				_ = f.SetAnnotation("limit", valueKind, []string{"N"})
			}},
	}
}

func runActivity(ctx context.Context, call *Call) (Result, error) {
	q := activity.Query{}
	q.App, _ = call.Flags.GetString("app")
	q.Member, _ = call.Flags.GetString("member")
	q.Kind, _ = call.Flags.GetString("kind")
	if q.Limit, _ = call.Flags.GetInt("limit"); q.Limit < 0 {
		return Result{}, daemon.Errorf(daemon.Invalid, "%d events are not possible", q.Limit).WithHint("give --limit a number; 0 is all of them")
	}
	if err := checkKind(q.Kind); err != nil {
		return Result{}, err
	}
	since, _ := call.Flags.GetString("since")
	var err error
	if q.Since, err = parseSince(since, time.Now()); err != nil {
		return Result{}, err
	}
	if follow, _ := call.Flags.GetBool("follow"); follow {
		return Result{}, call.followActivity(ctx, q)
	}
	list, err := call.Activity.List(ctx, call.Member, q)
	if err != nil {
		return Result{}, err
	}
	slices.Reverse(list) // the newest first, as releases are
	return show(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintln(w, "Nothing was done, or you may not see it")
			return
		}
		table(w, func(row func(...any)) {
			row("WHEN", "BY", "APP", "WHAT", "OUTCOME", "UNDO")
			for _, a := range list {
				row(ago(a.Time), by(a.Member), a.App, whatWasDone(a), outcome(a), a.Undo)
			}
		})
	})
}

// whatWasDone is what was done, with the release that came of it.
func whatWasDone(a daemon.Activity) string {
	if a.Release > 0 && a.Kind != daemon.RunBegan && a.Kind != daemon.RunEnded {
		return fmt.Sprintf("%s (v%d)", a.Text, a.Release)
	}
	return a.Text
}

func outcome(a daemon.Activity) string {
	text := string(a.Outcome)
	if a.Kind == daemon.RunEnded || a.Kind == daemon.ConsoleEnded {
		text = fmt.Sprintf("exit code %d", a.Code)
		if a.Outcome != daemon.Done {
			text = "ended"
		}
	}
	if a.Took >= time.Second {
		text += ", " + a.Took.Round(time.Second).String()
	}
	return text
}

// followActivity prints a line for each event.
func (call *Call) followActivity(ctx context.Context, q activity.Query) error {
	enc := json.NewEncoder(call.Stdout)
	err := call.Activity.Follow(ctx, call.Member, q, func(a daemon.Activity) error {
		if call.JSON {
			return enc.Encode(a)
		}
		line := fmt.Sprintf("%s %s: %s, %s", a.Time.Local().Format("2006-01-02 15:04:05"), strings.TrimSpace(by(a.Member)+" "+a.App), whatWasDone(a), outcome(a))
		if a.Undo != "" {
			line += "; to undo it: " + a.Undo
		}
		_, err := fmt.Fprintln(call.Stdout, line)
		return err
	})
	if errors.Is(err, context.Canceled) {
		return ended(ctx)
	}
	return err
}

// checkKind refuses what is neither a kind nor the noun of some.
func checkKind(kind string) error {
	if kind == "" || slices.Contains(activityKinds(), kind) {
		return nil
	}
	return daemon.Errorf(daemon.Invalid, "there is no kind of activity %q", clip(kind)).WithHint("there are: %s", strings.Join(activityKinds(), ", "))
}

// activityKinds are all kinds, and their nouns.
func activityKinds() (names []string) {
	for _, k := range daemon.ActivityKinds {
		noun, _, _ := strings.Cut(string(k.Kind), ".")
		names = append(names, string(k.Kind), noun)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// parseSince reads a time that was so long ago, like 2h or 7d, or a date, or both as RFC 3339 has
// them. Empty: the zero time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 10_000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 && d < 10_000*24*time.Hour {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		// Times that an int64 of nanoseconds can't hold are no times of events.
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil && t.Year() >= 1970 && t.Year() < 2262 {
			return t, nil
		}
	}
	return time.Time{}, daemon.Errorf(daemon.Invalid, "%q is no time", clip(text)).WithHint("write it like 2h, 7d, 2026-01-31 or 2026-01-31T15:04:05Z")
}
