package command

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/machine"
	"towline/daemon/metrics"
)

func TestMetricsOfWhatIsNotMeasured(t *testing.T) {
	b := newBench(t)
	b.run(0, "apps:create", "shop")
	want(t, b.run(0, "metrics", "-a", "shop").out, "=== shop, ", "Nothing was measured of it in the last 2h")
	var r metrics.Report
	if err := json.Unmarshal([]byte(b.run(0, "metrics", "-a", "shop", "--since", "10m", "--json").out), &r); err != nil || r.App != "shop" || r.Step != 10*time.Second {
		t.Errorf("%+v, %v", r, err)
	}
	if out := b.run(0, "metrics", "-a", "shop", "--csv").out; out != "time,app,of,name,unit,value\n" {
		t.Errorf("%q", out)
	}
	for _, line := range []string{"--csv --json", "--csv --watch", "--since never", "--since -2h", "--since 2200-01-01", "more words"} {
		b.run(2, append([]string{"metrics", "-a", "shop"}, strings.Fields(line)...)...)
	}
	b.run(2, "metrics", "-a", "shop", "--since", "")
	b.run(3, "metrics", "-a", "none")
}

// still measures the same each time.
type still struct{ daemon.History }

func (still) Containers(bool) ([]daemon.Reading, error) { return nil, nil }
func (still) Host() (daemon.Reading, error)             { return daemon.Reading{}, nil }

// past is a history without anything in it.
type past struct{ daemon.History }

func (past) Get(context.Context, int, time.Time, time.Time) ([]daemon.Measured, error) {
	return nil, nil
}

// A member whose access ends sees no more of a chart that is shown again and again.
func TestWatchingEndsWithTheAccess(t *testing.T) {
	b := newBench(t, func(o *machine.Options) { o.History, o.Meters = past{}, still{} })
	b.run(0, "apps:create", "shop")
	b.member("alice")
	b.run(0, "access:add", "alice", "-a", "shop", "-p", "view")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out := &lines{each: make(chan string, 100)}
	code := make(chan int, 1)
	go func() {
		code <- b.Run(ctx, Request{Member: "alice", Key: "SHA256:alice", Args: []string{"metrics", "-a", "shop", "--watch", "--json"}, Stdin: strings.NewReader(""), Stdout: out, Stderr: out,
			End: func(error) { cancel() }})
	}()
	var r metrics.Report
	if err := json.Unmarshal([]byte(<-out.each), &r); err != nil || r.App != "shop" {
		t.Fatalf("%+v, %v", r, err)
	}
	b.run(0, "access:remove", "alice", "-a", "shop")
	if got := <-code; got == 0 {
		t.Error("the watching ended well")
	}
}

// lines sends what is written.
type lines struct{ each chan string }

func (l *lines) Write(p []byte) (int, error) {
	l.each <- string(p)
	return len(p), nil
}

func TestChart(t *testing.T) {
	from := time.Date(2026, 11, 1, 12, 0, 0, 0, time.Local)
	at := func(minutes int, v float64) metrics.Value {
		return metrics.Value{float64(from.Add(time.Duration(minutes) * time.Minute).Unix()), v}
	}
	r := metrics.Report{
		App: "shop", From: from, To: from.Add(30 * time.Minute), Step: time.Minute,
		Series: []metrics.Series{
			{Name: "requests", Of: "web", Unit: "1/s", Now: 7, Most: 7, Points: []metrics.Value{at(0, 0), at(1, 3.5), at(29, 7)}},
			{Name: "errors", Of: "web", Unit: "1/s", Points: []metrics.Value{at(0, 0)}},
			{Name: "response_p95", Of: "web", Unit: "ms", Now: 12.34, Most: 12345, Points: []metrics.Value{at(0, 12345)}},
			{Name: "websockets", Of: "web"},
			{Name: "memory", Of: "web", Unit: "B", Now: 100 << 20, Most: 200 << 20, Limit: 512 << 20, Points: []metrics.Value{at(0, 200<<20), at(40, 1)}},
			{Name: "memory", Of: "redis-shop", Addon: true, Unit: "B", Now: 1 << 20, Most: 1 << 20},
		},
		Events: []daemon.Activity{{Kind: daemon.Deployed, Time: from.Add(10 * time.Minute), Member: "alice", Release: 7, Text: "deployed"}},
	}
	var text strings.Builder
	chart(&text, r)
	got := strings.Split(strings.TrimSpace(text.String()), "\n")
	blank := func(n int) string { return strings.Repeat(" ", n) }
	wanted := []string{
		"=== shop, 30 columns of 1m each",
		"web        requests/s ▁▄" + blank(27) + "█ 7         most 7",
		"           errors/s   ▁" + blank(29) + " 0         most 0",
		"           p95        █" + blank(29) + " 12.3 ms   most 12.3 s",
		"           memory     █" + blank(29) + " 100.0 MiB of 512.0 MiB",
		"redis-shop memory     " + blank(30) + " 1.0 MiB   most 1.0 MiB",
		blank(22) + "12:00     12:10     12:20",
		blank(22) + blank(10) + "▲",
		"▲ 11-01 12:10  alice  deployed (v7)",
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(wanted, "\n"))
	}
	var csv strings.Builder
	if err := writeCSV(&csv, r); err != nil || !strings.HasPrefix(csv.String(), "time,app,of,name,unit,value\n"+from.UTC().Format(time.RFC3339)+",shop,web,requests,1/s,0\n") {
		t.Errorf("%q, %v", csv.String(), err)
	}
}

func TestChartColumns(t *testing.T) {
	for width, want := range map[int]int{0: chartDefault, 20: chartLeast, 80: 28, 120: 68, 1000: chartMost} {
		if got := chartColumns(width); got != want {
			t.Errorf("%d columns of %d, want %d", got, width, want)
		}
	}
}
