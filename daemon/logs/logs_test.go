package logs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/logs"
)

// fixture is a Logs in a directory of its own.
type fixture struct {
	*logs.Logs
	t *testing.T
}

func setUp(t *testing.T, change func(*logs.Options)) fixture {
	t.Helper()
	dir := t.TempDir()
	o := logs.Options{Dir: filepath.Join(dir, "apps"), RouterDir: filepath.Join(dir, "router")}
	if err := os.Mkdir(o.RouterDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&o)
	}
	return fixture{logs.New(o), t}
}

var base = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// stamp is the time of the nth second, as conmon writes it, in a zone of its own.
func stamp(n int) string {
	return base.Add(time.Duration(n) * time.Second).In(time.FixedZone("", 2*3600)).Format("2006-01-02T15:04:05.000000000-07:00")
}

// put appends text to a file, as the engine and the proxy do.
func (f fixture) put(path, text string) {
	f.t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		f.t.Fatal(err)
	}
}

func (f fixture) router(app string) string { return filepath.Join(f.RouterDir, app+".log") }

// read returns "source[process] text" of each line.
func (f fixture) read(q daemon.LogQuery) []string {
	f.t.Helper()
	var got []string
	var last time.Time
	err := f.Read(f.t.Context(), q, func(l daemon.LogLine) error {
		if l.Time.Before(last) || l.Time.IsZero() || l.Time.Location() != time.UTC {
			f.t.Errorf("line %q of %v comes after %v", l.Text, l.Time, last)
		}
		last = l.Time
		got = append(got, fmt.Sprintf("%s[%s] %s", l.Source, l.Process, l.Text))
		return nil
	})
	if err != nil {
		f.t.Error(err)
	}
	return got
}

func (f fixture) expect(q daemon.LogQuery, want ...string) {
	f.t.Helper()
	if got := f.read(q); !slices.Equal(got, want) {
		f.t.Errorf("%+v:\n got %q\nwant %q", q, got, want)
	}
}

func TestRead(t *testing.T) {
	f := setUp(t, nil)
	f.expect(daemon.LogQuery{App: "shop", Lines: 10})
	f.put(f.ContainerPath("shop", "towline-shop.web.1.v3.ab12"), stamp(1)+" stdout F listening\n"+stamp(4)+" stderr F oops\r\n")
	f.put(f.ContainerPath("shop", "towline-shop.web.2.v3.ab12"), stamp(2)+" stdout F \x1b[32mgreen\x1b[0m\x00!\n")
	f.put(f.ContainerPath("shop", "towline-shop.worker.1.v3.ab12"), stamp(3)+" stdout F \n")
	f.put(f.ContainerPath("blog", "towline-blog.web.1.v1.cd34"), stamp(3)+" stdout F another app's\n")
	f.put(f.ContainerPath("+graph", "towline-addon-graph"), stamp(3)+" stdout F started\n")
	f.put(f.router("shop"), stamp(5)+" stdout F at=info method=GET\n")
	f.put(f.router("shop")+".1", stamp(0)+" stdout F at=info method=PUT\n")
	f.Write("shop", "system", "release", "Release v3: Deploy")
	f.Write("shop", "build", "build", "two\nlines\n")
	f.Write("shop", "odd source", "", "x")

	first := []string{"router[router] at=info method=PUT", "app[web.1] listening", "app[web.2] \x1b[32mgreen\x1b[0m!", "app[worker.1] ", "app[web.1] oops"}
	last := []string{"router[router] at=info method=GET", "system[release] Release v3: Deploy", "build[build] two", "build[build] lines", "odd-source[-] x"}
	f.expect(daemon.LogQuery{App: "shop", Lines: 100}, slices.Concat(first, last)...)
	f.expect(daemon.LogQuery{App: "shop", Lines: 5}, last...)
	f.expect(daemon.LogQuery{App: "shop", Lines: 0})
	f.expect(daemon.LogQuery{App: "shop", Lines: 1, Source: "router"}, last[0])
	f.expect(daemon.LogQuery{App: "shop", Lines: 9, Source: "app"}, first[1:]...)
	f.expect(daemon.LogQuery{App: "shop", Lines: 9, Process: "web.2"}, first[2])
	f.expect(daemon.LogQuery{App: "shop", Lines: 9, Process: "web"}, first[1], first[2], first[4])
	f.expect(daemon.LogQuery{App: "shop", Lines: 9, Process: "we"})
	f.expect(daemon.LogQuery{App: "shop", Lines: 9, Process: "build", Source: "build"}, last[2:4]...)
	f.expect(daemon.LogQuery{App: "+graph", Lines: 9}, "addon[graph] started")
}

// TestJoin reads lines that conmon has taken apart: each stream's parts belong
// together, whatever the other stream says in between.
func TestJoin(t *testing.T) {
	f := setUp(t, nil)
	web := f.ContainerPath("shop", "web.1")
	f.put(web, stamp(1)+" stdout P one, \n"+stamp(2)+" stderr F apart\n"+stamp(3)+" stdout P two, \n"+stamp(4)+" stdout F three\n")
	f.put(web, "torn by a crash\n\n")
	f.put(web, stamp(5)+" stdout P a prompt> \n")
	f.expect(daemon.LogQuery{App: "shop", Lines: 9},
		"app[web.1] one, two, three", "app[web.1] apart", "app[web.1] torn by a crash", "app[web.1] a prompt> ")
	f.put(web, stamp(6)+" stdout F yes\n"+stamp(7)+" stdout F not whole")
	f.expect(daemon.LogQuery{App: "shop", Lines: 1}, "app[web.1] a prompt> yes")
}

// TestTailOfMany reads ends of files that are far larger than a block, lines as
// long as conmon's buffer among them.
func TestTailOfMany(t *testing.T) {
	f := setUp(t, nil)
	const total = 30_000
	var text [3]strings.Builder
	for i := range total {
		long := ""
		if i%100 == 0 {
			long = strings.Repeat("x", 8000)
		}
		fmt.Fprintf(&text[i%3], "%s stdout F line %d%s\n", stamp(i), i, long)
	}
	for i := range text {
		f.put(f.ContainerPath("shop", fmt.Sprintf("web.%d", i)), text[i].String())
	}
	for _, n := range []int{1, 7, 500, 20_000, total, total + 1} {
		got := f.read(daemon.LogQuery{App: "shop", Lines: n})
		if len(got) != min(n, total) {
			t.Fatalf("%d lines, want %d", len(got), min(n, total))
		}
		for i, line := range got {
			number := total - len(got) + i
			if want := fmt.Sprintf("app[web.%d] line %d", number%3, number); strings.TrimRight(line, "x") != want {
				t.Fatalf("of %d lines, number %d is %.50q, want %q", n, i, line, want)
			}
		}
	}
}

func TestReadErrors(t *testing.T) {
	f := setUp(t, nil)
	for _, app := range []string{"", "..", "../x", "a/b", ".hidden"} {
		if err := f.Read(t.Context(), daemon.LogQuery{App: app, Lines: 1, Follow: true}, nil); err == nil {
			t.Errorf("%q was read", app)
		}
		if err := f.Remove(app); err == nil {
			t.Errorf("%q was removed", app)
		}
		f.Write(app, "system", "x", "x")
	}
	if _, err := os.Stat(f.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
	f.Write("shop", "system", "x", "one\ntwo")
	boom := errors.New("boom")
	calls := 0
	err := f.Read(t.Context(), daemon.LogQuery{App: "shop", Lines: 9}, func(daemon.LogLine) error { calls++; return boom })
	if !errors.Is(err, boom) || calls != 1 {
		t.Errorf("got %v after %d lines, want the caller's own error after 1", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Read(ctx, daemon.LogQuery{App: "shop", Lines: 9}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// TestWriteBounded writes far more than is kept.
func TestWriteBounded(t *testing.T) {
	f := setUp(t, func(o *logs.Options) { o.MaxSize = 256 << 10 })
	for i := range 5000 {
		f.Write("shop", "build", "build", fmt.Sprintf("line %d", i))
	}
	var size int64
	entries, err := os.ReadDir(filepath.Join(f.Dir, "shop"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > f.MaxSize/4 {
		t.Errorf("%d bytes are kept, at most %d should be", size, f.MaxSize/4)
	}
	got := f.read(daemon.LogQuery{App: "shop", Lines: 400})
	if len(got) != 400 || got[0] != "build[build] line 4600" || got[399] != "build[build] line 4999" {
		t.Errorf("%d lines from %q to %q", len(got), got[0], got[len(got)-1])
	}
}

func TestRemove(t *testing.T) {
	f := setUp(t, nil)
	for _, app := range []string{"shop", "shop-2"} {
		f.Write(app, "system", "x", "x")
		f.put(f.router(app), stamp(1)+" stdout F x\n")
		f.put(f.router(app)+".1", stamp(0)+" stdout F x\n")
	}
	for range 2 {
		if err := f.Remove("shop"); err != nil {
			t.Error(err)
		}
	}
	f.expect(daemon.LogQuery{App: "shop", Lines: 9})
	if got := f.read(daemon.LogQuery{App: "shop-2", Lines: 9}); len(got) != 3 {
		t.Errorf("another app's log: %q", got)
	}
}
