package logs_test

import (
	"context"
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

// follower collects what a following Read passes on.
type follower struct {
	t      *testing.T
	lines  chan daemon.LogLine
	cancel context.CancelFunc
	done   chan error
}

func (f fixture) follow(q daemon.LogQuery) *follower {
	q.Follow = true
	ctx, cancel := context.WithCancel(f.t.Context())
	w := &follower{t: f.t, lines: make(chan daemon.LogLine, 100_000), cancel: cancel, done: make(chan error, 1)}
	go func() {
		w.done <- f.Read(ctx, q, func(l daemon.LogLine) error { w.lines <- l; return nil })
	}()
	f.t.Cleanup(w.stop)
	return w
}

func (w *follower) stop() {
	w.t.Helper()
	w.cancel()
	select {
	case err := <-w.done:
		if err != nil {
			w.t.Error(err)
		}
		w.done <- nil
	case <-time.After(20 * time.Second):
		w.t.Error("following did not end")
	}
}

// expect waits for lines, in this order.
func (w *follower) expect(want ...string) {
	w.t.Helper()
	for _, text := range want {
		select {
		case l := <-w.lines:
			if got := fmt.Sprintf("%s[%s] %s", l.Source, l.Process, l.Text); got != text {
				w.t.Errorf("got %q, want %q", got, text)
			}
		case <-time.After(20 * time.Second):
			w.t.Fatalf("%q did not come", text)
		}
	}
}

// silent tells that nothing more came. A marker line shows that all was read.
func (w *follower) silent(f fixture, app string) {
	w.t.Helper()
	f.Write(app, "system", "marker", "end")
	w.expect("system[marker] end")
}

func TestFollow(t *testing.T) {
	f := setUp(t, nil)
	web := f.ContainerPath("shop", "x-shop.web.1.v1.a")
	f.put(web, stamp(1)+" stdout F old\n"+stamp(2)+" stdout F newer\n"+stamp(3)+" stdout P begun, \n")
	w := f.follow(daemon.LogQuery{App: "shop", Lines: 1})
	w.expect("app[web.1] newer")
	f.put(web, stamp(4)+" stdout F ended\n")
	w.expect("app[web.1] begun, ended")

	f.put(f.ContainerPath("shop", "x-shop.web.1.v2.b"), stamp(5)+" stdout F a new release\n")
	w.expect("app[web.1] a new release")
	f.put(f.router("shop"), stamp(6)+" stdout F at=info\n")
	w.expect("router[router] at=info")
	f.put(f.router("blog"), stamp(6)+" stdout F not ours\n")
	f.Write("shop", "system", "web.1", "Process stopped")
	w.expect("system[web.1] Process stopped")
	f.put(web, stamp(7)+" stdout F in two ")
	f.put(web, "writes\n")
	w.expect("app[web.1] in two writes")
	f.put(web, stamp(8)+" stdout P no end\n") // shown at last, whatever becomes of it
	w.expect("app[web.1] no end")
	w.silent(f, "shop")
}

func TestFollowOne(t *testing.T) {
	f := setUp(t, nil)
	w := f.follow(daemon.LogQuery{App: "shop", Lines: 10, Process: "web", Source: "app"})
	for i, p := range []string{"web.1", "worker.1", "web.2", "webby.1"} {
		f.put(f.ContainerPath("shop", p), stamp(i)+" stdout F "+p+"\n")
	}
	f.Write("shop", "system", "web.1", "x")
	f.put(f.ContainerPath("shop", "web.3"), stamp(9)+" stdout F the end\n")
	var got []string
	for len(got) == 0 || got[len(got)-1] != "the end" {
		got = append(got, (<-w.lines).Text)
	}
	slices.Sort(got[:len(got)-1]) // they may come in one batch or in several
	if want := []string{"web.1", "web.2", "the end"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFollowReplaced shows that nothing is lost or repeated when a file is begun
// anew: by conmon, which puts an empty one in its place; by the proxy and by Write,
// which rename it; by being cut.
func TestFollowReplaced(t *testing.T) {
	f := setUp(t, nil)
	web := f.ContainerPath("shop", "web.1")
	line := func(text string) string { return stamp(0) + " stdout F " + text + "\n" }
	f.put(web, line("first"))
	f.put(f.router("shop"), stamp(1)+" stdout F r1\n")
	w := f.follow(daemon.LogQuery{App: "shop", Lines: 1})
	w.expect("router[router] r1")
	f.put(web, line("second"))
	w.expect("app[web.1] second")

	f.put(web, line("third"))
	f.put(web+".tmp", line("fourth"))
	if err := os.Rename(web+".tmp", web); err != nil {
		t.Fatal(err)
	}
	w.expect("app[web.1] third", "app[web.1] fourth")

	f.put(f.router("shop"), line("r2")) // never read before it is renamed
	if err := os.Rename(f.router("shop"), f.router("shop")+".1"); err != nil {
		t.Fatal(err)
	}
	f.put(f.router("shop"), line("r3"))
	w.expect("router[router] r2", "router[router] r3")

	if err := os.Truncate(web, 0); err != nil {
		t.Fatal(err)
	}
	f.put(web, line("v"))
	w.expect("app[web.1] v")
	if err := os.Remove(web); err != nil {
		t.Fatal(err)
	}
	w.silent(f, "shop")
	f.put(web, line("again"))
	w.expect("app[web.1] again")
}

func TestFollowRotatingWrite(t *testing.T) {
	f := setUp(t, func(o *logs.Options) { o.MaxSize = 1 << 20 })
	f.Write("shop", "system", "x", "up")
	w := f.follow(daemon.LogQuery{App: "shop", Lines: 1})
	w.expect("system[x] up")
	// Several times what is kept, in portions that the follower can keep up with.
	for i := range 30 {
		for j := range 200 {
			f.Write("shop", "system", "x", fmt.Sprintf("line %d.%d %s", i, j, strings.Repeat("y", 100)))
		}
		for j := range 200 {
			w.expect(fmt.Sprintf("system[x] line %d.%d %s", i, j, strings.Repeat("y", 100)))
		}
	}
}

// A line is shown when it is written, not when something next looks.
func TestFollowLatency(t *testing.T) {
	f := setUp(t, nil)
	web := f.ContainerPath("shop", "web.1")
	f.put(web, stamp(0)+" stdout F up\n")
	w := f.follow(daemon.LogQuery{App: "shop", Lines: 1})
	w.expect("app[web.1] up")
	var took []time.Duration
	for i := range 50 {
		start := time.Now()
		f.put(web, fmt.Sprintf("%s stdout F %d\n", stamp(0), i))
		<-w.lines
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("median %v, worst %v", took[len(took)/2], took[len(took)-1])
	if took[len(took)/2] > time.Second {
		t.Errorf("half of the lines took longer than %v", took[len(took)/2])
	}
}

func TestFollowRemoved(t *testing.T) {
	f := setUp(t, nil)
	f.Write("shop", "system", "x", "one")
	w := f.follow(daemon.LogQuery{App: "shop", Lines: 5})
	w.expect("system[x] one")
	if err := f.Remove("shop"); err != nil {
		t.Fatal(err)
	}
	f.Write("shop", "system", "x", "two") // the directory is another now
	w.expect("system[x] two")
}

func TestPrune(t *testing.T) {
	f := setUp(t, func(o *logs.Options) { o.MaxSize, o.MaxAge = 3000, 24*time.Hour })
	const kilobyte = 1000
	age := map[string]time.Duration{
		"ancient-live": 90 * 24 * time.Hour, "ancient": 48 * time.Hour,
		"old-1": 5 * time.Hour, "old-2": 4 * time.Hour, "old-3": 3 * time.Hour, "new": 0,
	}
	for name, a := range age {
		path := f.ContainerPath("shop", name)
		f.put(path, strings.Repeat("x", kilobyte))
		then := time.Now().Add(-a)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	f.Write("shop", "system", "x", "x")
	if err := f.Prune([]string{"ancient-live"}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(f.Dir, "shop"))
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	// Two live ones, and Towline's own line, leave room for none of 1000 bytes.
	if want := []string{"ancient-live.log", "new.log", "towline.log"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
	if err := logs.New(logs.Options{Dir: "/nonexistent"}).Prune(nil); err != nil {
		t.Error(err)
	}
}
