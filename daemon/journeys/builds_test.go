package journeys

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"towline/daemon"
	keeping "towline/daemon/logs"
)

// outputOf is what is kept of an app's build, as builds:output shows it.
func (w *world) outputOf(app string, number int) string {
	w.t.Helper()
	var b strings.Builder
	l := keeping.New(keeping.Options{Dir: w.dir + "/logs"})
	q := daemon.LogQuery{App: app, Source: "build", Process: "build." + itoa(number), Lines: 10_000}
	w.must(l.Read(w.t.Context(), q, func(line daemon.LogLine) error { b.WriteString(line.Text + "\n"); return nil }))
	return b.String()
}

func (w *world) build(l *life, app string, number int) daemon.Build {
	w.t.Helper()
	b, err := l.Releases.Build(w.t.Context(), app, number)
	w.must(err)
	return b
}

// hanging is source whose build does not end by itself.
func hanging() []byte {
	return archive(map[string]string{"Procfile": "web: serve\n", "version": "two", "hangs": ""})
}

// A build is kept with what it wrote and how its release ended, without the app's secrets.
func TestBuildsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		ctx := t.Context()
		w.must(l.createApp(ctx, "shop"))
		w.must(l.set(ctx, "shop", "TOKEN", "sesame-open"))
		w.must(l.set(ctx, "shop", "DATABASE", "postgres://user:p%C3%A4ss-word@db/shop"))
		w.must(l.set(ctx, "shop", "CERT", "-----BEGIN-----\nMIIBlines\n-----END-----"))
		out, err := l.push(ctx, "shop", "", asking("one", `{"env": {"KEY": {"generator": "secret"}}}`))
		w.must(err)
		a, _ := w.state(l).app("shop")
		kept := w.outputOf("shop", 1)
		for _, secret := range []string{"sesame-open", "päss-word", "p%C3%A4ss-word", "MIIBlines", a.Config["KEY"]} {
			if strings.Contains(kept, secret) {
				t.Errorf("%q is kept:\n%s", secret, kept)
			}
		}
		if !strings.Contains(out, "sesame-open") || !strings.Contains(kept, "[TOKEN]") || !strings.Contains(kept, "[KEY]") {
			t.Errorf("the pusher saw:\n%s\nkept is:\n%s", out, kept)
		}
		if !strings.HasSuffix(kept, "-----> Released v"+itoa(a.Current)+"\n") {
			t.Errorf("it does not end with the release:\n%s", kept)
		}
		if b := w.build(l, "shop", 0); b.Number != 1 || b.Status != daemon.BuildSucceeded || b.Release != a.Current || b.Finished.IsZero() || b.Commit == "" {
			t.Errorf("the build is %+v", b)
		}
		w.programs.refuse(func(map[string]string) bool { return true })
		_, err = l.push(ctx, "shop", "", source("two"))
		if b := w.build(l, "shop", 2); err == nil || b.Status != daemon.BuildSucceeded || b.Release != a.Current+1 {
			t.Errorf("of a release that failed: %+v, %v", b, err)
		}
		if kept := w.outputOf("shop", 2); !strings.HasSuffix(kept, "serves on\n") || !strings.Contains(kept, " !     the release phase failed with exit code 1\n") {
			t.Errorf("it does not end with the failure:\n%s", kept)
		}
		_, err = l.push(ctx, "shop", "", archive(map[string]string{"Procfile": "web: serve\n"}))
		if b := w.build(l, "shop", 3); err == nil || b.Status != daemon.BuildFailed || b.Release != 0 || b.Error == "" {
			t.Errorf("of a build that failed: %+v, %v", b, err)
		}
		// Nor does the release keep them, which the same people see.
		if rel := w.state(l).releases["shop"][0]; !strings.HasPrefix(rel.Output, "token [TOKEN]\ndone\n") {
			t.Errorf("v%d keeps %q", rel.Version, rel.Output)
		}
		l.end()
		l = w.start()
		if list, err := l.Releases.Builds(ctx, "shop"); err != nil || len(list) != 3 {
			t.Errorf("after the next start: %v, %v", list, err)
		}
	})
}

// A build that is cancelled leaves nothing, and the app takes the next push.
func TestBuildIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.start()
		ctx := t.Context()
		w.must(l.createApp(ctx, "shop"))
		if _, err := l.Releases.CancelBuild(ctx, "shop", "ann", 0); !daemon.IsKind(err, daemon.NotFound) {
			t.Errorf("with nothing to cancel: %v", err)
		}
		ended := make(chan error)
		go func() { _, err := l.push(ctx, "shop", "", hanging()); ended <- err }()
		time.Sleep(time.Second)
		if kept := w.outputOf("shop", 1); !strings.Contains(kept, "Building with") {
			t.Errorf("what a build shows is not kept while it runs: %q", kept)
		}
		b, err := l.Releases.CancelBuild(ctx, "shop", "ann", 1)
		if err != nil || b.Status != daemon.BuildCancelled || b.Error != "the build was cancelled by ann" {
			t.Errorf("cancelled: %+v, %v", b, err)
		}
		if err := <-ended; !daemon.IsKind(err, daemon.Failed) || err.Error() != "the build was cancelled by ann" {
			t.Errorf("the push ended with %v", err)
		}
		if kept := w.outputOf("shop", 1); !strings.Contains(kept, "the end of a line does not come\n !     the build was cancelled by ann") {
			t.Errorf("kept is %q", kept)
		}
		if _, err := l.Releases.CancelBuild(ctx, "shop", "ann", 1); !daemon.IsKind(err, daemon.Conflict) {
			t.Errorf("once more: %v", err)
		}
		w.must(l.deploy(ctx, "shop", source("one")))
		w.settle()
		for _, fault := range w.faultsFound(l) {
			t.Error(fault)
		}
	})
}

// A build that the end of the daemon cuts short is shown as such.
func TestBuildIsInterrupted(t *testing.T) {
	for name, end := range map[string]func(*life){"killed": func(l *life) { go l.line.Die(); <-l.line.Dead() }, "stopped": func(l *life) { l.end() }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l := w.start()
				w.must(l.createApp(t.Context(), "shop"))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() { _, _ = l.push(ctx, "shop", "", hanging()) }()
				time.Sleep(time.Second)
				end(l)
				l = w.start()
				w.settle()
				if b := w.build(l, "shop", 1); b.Status != daemon.BuildInterrupted || b.Finished.IsZero() {
					t.Errorf("it is %+v", b)
				}
				if kept := w.outputOf("shop", 1); !strings.Contains(kept, "Building with") {
					t.Errorf("what it wrote is gone: %q", kept)
				}
				for _, fault := range w.faultsFound(l) {
					t.Error(fault)
				}
			})
		})
	}
}
