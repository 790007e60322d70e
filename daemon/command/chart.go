package command

import (
	"fmt"
	"io"
	"strings"
	"time"

	"towline/daemon/metrics"
)

// The chart of an app's measurements: a row for each number, a column for some of the time. Below
// them stand the times, and marks of what was done.

const (
	chartLabel   = 22 // columns of a row's name
	chartValues  = 28 // columns of its numbers
	chartDefault = 48 // columns of the chart where nobody looks
	chartMost    = 120
	chartLeast   = 8
	chartEvents  = 10 // the newest, that are listed below
)

// chartColumns are those of the chart itself on a screen of that width.
func chartColumns(width int) int {
	if width == 0 {
		return chartDefault
	}
	return min(max(width-chartLabel-chartValues-2, chartLeast), chartMost)
}

// chartRows are the numbers that a chart has, and which of them only if they were ever more than 0.
var chartRows = []struct {
	name, label string
	always      bool
}{
	{"requests", "requests/s", true}, {"errors", "errors/s", true}, {"response_p50", "p50", true}, {"response_p95", "p95", true}, {"response_p99", "p99", true},
	{"websockets", "WebSockets", false}, {"memory", "memory", true}, {"cpu", "cpu", true}, {"cpu_throttled", "throttled", false}, {"crashes", "crashes", false}, {"oom_kills", "OOM kills", false},
}

func chart(w io.Writer, r metrics.Report) {
	columns := int((r.To.Sub(r.From) + r.Step - 1) / r.Step)
	long := r.To.Sub(r.From).Round(time.Minute)
	if long < time.Minute {
		long = r.To.Sub(r.From).Round(time.Second)
	}
	fmt.Fprintf(w, "=== %s, %s of %s each\n", r.App, count(columns, "column"), spoken(r.Step))
	if len(r.Series) == 0 {
		fmt.Fprintf(w, "Nothing was measured of it in the last %s\n", spoken(long))
	}
	of := ""
	for _, number := range groups(r.Series) {
		for _, show := range chartRows {
			s, ok := number[show.name]
			if !ok || !show.always && s.Most == 0 {
				continue
			}
			title := s.Of
			if title == of {
				title = ""
			}
			of = s.Of
			fmt.Fprintf(w, "%-*s %s %s\n", chartLabel-1, rowName(title, show.label), bars(s, r, columns), numbers(s))
		}
	}
	if len(r.Series) > 0 {
		fmt.Fprintf(w, "%-*s %s\n", chartLabel-1, "", axis(r, columns))
	}
	marked(w, r, columns)
}

// rowName is what a number is of, and its name.
func rowName(title, label string) string {
	if r := []rune(title); len(r) > 10 {
		title = string(r[:9]) + "…"
	}
	return fmt.Sprintf("%-10s %-10s", title, label)
}

// groups are the series of each thing by their names, in order.
func groups(list []metrics.Series) (all []map[string]metrics.Series) {
	last := ""
	for _, s := range list {
		if key := fmt.Sprint(s.Addon, s.Of); len(all) == 0 || key != last {
			all, last = append(all, map[string]metrics.Series{}), key
		}
		all[len(all)-1][s.Name] = s
	}
	return all
}

// heights are the bars, from the lowest on.
var heights = []rune("▁▂▃▄▅▆▇█")

// bars draws a series. A time of which nothing is known is empty.
func bars(s metrics.Series, r metrics.Report, columns int) string {
	line := []rune(strings.Repeat(" ", columns))
	for _, p := range s.Points {
		i := int((time.Unix(int64(p[0]), 0).Sub(r.From)) / r.Step)
		if i < 0 || i >= columns {
			continue
		}
		height := 0
		if s.Most > 0 {
			height = int(p[1] / s.Most * float64(len(heights)-1))
		}
		line[i] = heights[min(max(height, 0), len(heights)-1)]
	}
	return string(line)
}

// numbers are what it is now, and the most that it was.
func numbers(s metrics.Series) string {
	text := fmt.Sprintf("%-9s most %s", quantity(s.Now, s.Unit), quantity(s.Most, s.Unit))
	if s.Name == "memory" && s.Limit > 0 {
		text = fmt.Sprintf("%-9s of %s", quantity(s.Now, s.Unit), quantity(s.Limit, s.Unit))
	}
	return text
}

func quantity(v float64, unit string) string {
	switch unit {
	case "B":
		return size(int64(v))
	case "ms":
		if v >= 10_000 {
			return fmt.Sprintf("%.1f s", v/1000)
		}
		return trimmed(v) + " ms"
	case "%":
		return trimmed(v) + " %"
	}
	return trimmed(v)
}

// trimmed has as many digits as say something.
func trimmed(v float64) string {
	if v >= 100 || v == float64(int64(v)) {
		return fmt.Sprintf("%.0f", v)
	}
	if v >= 1 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// axis has the times at which columns begin, each as long as there is room.
func axis(r metrics.Report, columns int) string {
	layout, every := "15:04", 10
	if r.To.Sub(r.From) > 36*time.Hour {
		layout, every = "01-02 15h", 14
	}
	var line strings.Builder
	for i := 0; i < columns; i += every {
		text := r.From.Add(time.Duration(i) * r.Step).Local().Format(layout)
		if i > 0 && i+len(text) > columns {
			break
		}
		line.WriteString(fmt.Sprintf("%-*s", every, text))
	}
	return strings.TrimRight(line.String(), " ")
}

// marked shows what was done: a mark below its time, and the newest in words.
func marked(w io.Writer, r metrics.Report, columns int) {
	if len(r.Events) == 0 {
		return
	}
	line := []rune(strings.Repeat(" ", columns))
	for _, e := range r.Events {
		if i := int(e.Time.Sub(r.From) / r.Step); i >= 0 && i < columns {
			line[i] = '▲'
		}
	}
	if len(r.Series) > 0 {
		fmt.Fprintf(w, "%-*s %s\n", chartLabel-1, "", strings.TrimRight(string(line), " "))
	}
	newest := r.Events[max(0, len(r.Events)-chartEvents):]
	table(w, func(row func(...any)) {
		for _, e := range newest {
			row("▲ "+e.Time.Local().Format("01-02 15:04"), by(e.Member), whatWasDone(e))
		}
	})
}

// spoken is a duration without what is 0.
func spoken(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
