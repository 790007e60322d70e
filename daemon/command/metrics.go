package command

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/metrics"
)

func metricsCommands() []*Command {
	return []*Command{
		{Name: "metrics", Summary: "show requests, response times, memory and processors of an app", On: on(theApp(daemon.View)), Run: runMetrics,
			With: map[string]Stream{"watch": Lines},
			Help: "Requests are those that the proxy had for the app. Percentiles are of all requests of the time that a column stands for, and are\n" +
				"off by 3.2 % at most, or 9.4 % from steps of 10 minutes on. What its add-ons use is shown below. See docs/metrics.md.\n\n" +
				"  towline metrics -a shop --since 2d\n" +
				"  towline metrics -a shop --watch\n" +
				"  towline metrics -a shop --since 30d --csv > shop.csv",
			Flags: func(f *pflag.FlagSet) {
				f.String("since", "2h", "from this time on: 10m, 2h, 7d, or 2026-01-31")
				f.Bool("csv", false, "print comma-separated values, a line for each number and time")
				f.Bool("watch", false, "show it again each 10 seconds")
				_ = f.SetAnnotation("since", valueKind, []string{"TIME"})
			}},
	}
}

func runMetrics(ctx context.Context, call *Call) (Result, error) {
	text, _ := call.Flags.GetString("since")
	asCSV, _ := call.Flags.GetBool("csv")
	watch, _ := call.Flags.GetBool("watch")
	switch {
	case asCSV && call.JSON:
		return Result{}, daemon.Errorf(daemon.Invalid, "--csv and --json are two forms of the same").WithHint("give one of them")
	case asCSV && watch:
		return Result{}, daemon.Errorf(daemon.Invalid, "--watch shows charts, or with --json a line each time").WithHint("leave --csv out")
	}
	if _, err := parseSince(text, time.Now()); err != nil || text == "" {
		if err == nil {
			err = daemon.Errorf(daemon.Invalid, "--since is empty").WithHint("write it like 2h, 7d or 2026-01-31")
		}
		return Result{}, err
	}
	report := func() (metrics.Report, error) {
		now := time.Now()
		since, err := parseSince(text, now)
		if err != nil {
			return metrics.Report{}, err
		}
		q := metrics.Query{App: call.App, Since: since}
		if !asCSV && !call.JSON {
			q.Step = now.Sub(since) / time.Duration(chartColumns(call.request.Width))
		}
		return call.Metrics.Of(ctx, q)
	}
	if watch {
		return Result{}, call.watchMetrics(ctx, report)
	}
	r, err := report()
	if err != nil {
		return Result{}, err
	}
	return show(r, func(w io.Writer) {
		if asCSV {
			_ = writeCSV(w, r) // as with every text, who hangs up hears no more
			return
		}
		chart(w, r)
	})
}

// watchEvery is how often measurements are looked at again: as often as there are new ones.
const watchEvery = 10 * time.Second

// watchMetrics shows what report has, until ctx ends.
func (call *Call) watchMetrics(ctx context.Context, report func() (metrics.Report, error)) error {
	for {
		// Who may see the app no longer is shown no more.
		if err := call.authorize(ctx, call.table.commands["metrics"]); err != nil {
			return err
		}
		r, err := report()
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if call.JSON {
			err = json.NewEncoder(&text).Encode(r)
		} else {
			if call.request.Width > 0 {
				text.WriteString("\x1b[H\x1b[2J")
			}
			chart(&screen{Writer: &text, width: call.request.Width}, r)
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprint(call.Stdout, text.String()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ended(ctx)
		case <-time.After(watchEvery):
		}
	}
}

// writeCSV writes a line for each value.
func writeCSV(w io.Writer, r metrics.Report) error {
	out := csv.NewWriter(w)
	lines := [][]string{{"time", "app", "of", "name", "unit", "value"}}
	for _, s := range r.Series {
		for _, p := range s.Points {
			lines = append(lines, []string{time.Unix(int64(p[0]), 0).UTC().Format(time.RFC3339), r.App, s.Of, s.Name, s.Unit, strconv.FormatFloat(p[1], 'f', -1, 64)})
		}
	}
	return out.WriteAll(lines)
}
