package journeys

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

// What comes of a daemon that dies.
const (
	isOld = "old"
	isNew = "new"
)

// crashes has a row for each step of each kind of operation in docs/architecture.md, in its
// order: what comes of a daemon that dies once the step is recorded and nothing of it is
// done, and once it is done and the next is not recorded.
var crashes = []struct {
	kind, step  string
	journey     string
	begun, done string
}{
	{"deploy", "build", "deploy", isOld, isOld},
	{"deploy", "release", "deploy", isOld, isOld},
	{"deploy", "release-phase", "deploy", isOld, isOld},
	{"deploy", "start", "deploy", isOld, isOld},
	{"deploy", "swap", "deploy", isOld, isNew},
	{"deploy", "current", "deploy", isNew, isNew},
	{"release", "release", "config", isOld, isOld},
	{"release", "release-phase", "config", isOld, isOld},
	{"release", "start", "config", isOld, isOld},
	{"release", "swap", "config", isOld, isNew},
	{"release", "current", "config", isNew, isNew},
	{"promote", "image", "promote", isOld, isOld},
	{"promote", "release", "promote", isOld, isOld},
	{"promote", "release-phase", "promote", isOld, isOld},
	{"promote", "start", "promote", isOld, isOld},
	{"promote", "swap", "promote", isOld, isNew},
	{"promote", "current", "promote", isNew, isNew},
	{"postdeploy", "due", "first deploy, with an app.json", isNew, isNew},
	{"postdeploy", "run", "first deploy, with an app.json", isNew, isNew},
	{"roll", "roll", "scale", isOld, isOld},
	{"roll", "start", "scale", isOld, isOld},
	{"roll", "swap", "scale", isOld, isOld},
	{"roll", "current", "scale", isNew, isNew},
	{"run", "run", "run", isNew, isNew}, // nothing of it is left
	{"destroy", "remove", "destroy an app", isNew, isNew},
	{"provision", "create", "create an add-on", isOld, isOld},
	{"provision", "attach", "create an add-on", isNew, isNew},
	{"deprovision", "detach", "destroy an add-on", isNew, isNew},
	{"deprovision", "undo", "destroy an add-on that an app does not start without", isOld, isOld},
	{"deprovision", "remove", "destroy an add-on", isNew, isNew},
	{"attach", "connect", "attach", isOld, isOld},
	{"attach", "release", "attach", isNew, isNew},
	{"detach", "release", "detach", isNew, isNew},
	{"detach", "disconnect", "detach", isNew, isNew},
	{"restart", "restart", "restart an add-on that has the host's user ids", isOld, isNew},
	{"rotate", "accept", "rotate", isOld, isOld},
	{"rotate", "undo", "rotate, and the app does not start", isOld, isOld},
	{"rotate", "release", "rotate", isNew, isNew},
	{"rotate", "retire", "rotate", isNew, isNew},
	{"upgrade", "prepare", "upgrade", isOld, isOld},
	{"upgrade", "replace", "upgrade", isOld, isOld},
	{"upgrade", "current", "upgrade", isNew, isNew},
	{"backup", "capture", "backup", isOld, isOld}, // it is failed
	{"backup", "store", "backup", isOld, isOld},
	{"backup", "prove", "backup", isOld, isOld},
	{"backup-delete", "delete", "delete a backup", isNew, isNew},
	{"backup-delete", "forget", "delete a backup", isNew, isNew},
	{"restore", "check", "restore", isOld, isOld},
	{"restore", "replace", "restore", isOld, isOld},
	{"restore", "current", "restore", isNew, isNew},
	{"rollback", "data", "rollback with data", isOld, isOld},
	{"rollback", "release", "rollback with data", isOld, isNew}, // new: the release is current
	{"rollback", "resume", "rollback with data", isNew, isNew},
	{"test", "pending", "test run", isOld, isOld}, // it is errored, and nothing of it is left
	{"test", "creating", "test run", isOld, isOld},
	{"test", "building", "test run", isOld, isOld},
	{"test", "running", "test run", isOld, isOld},
	{"conform", "run", "check a plugin", isNew, isNew}, // nothing of it is left
}

// Every step that docs/architecture.md names has its row, and every row its step.
func TestCrashesNameEveryStep(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| kind | cut short in | outcome |\n")
	if !found {
		t.Fatal("the table is gone")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	word := regexp.MustCompile("`([^`]+)`")
	rows := map[string]int{}
	for _, c := range crashes {
		rows[c.kind+":"+c.step]++
	}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) != 5 || strings.HasPrefix(row, "| ---") {
			continue
		}
		kind := word.FindStringSubmatch(cells[1])[1]
		for _, step := range word.FindAllStringSubmatch(cells[2], -1) {
			if n := rows[kind+":"+step[1]]; n != 1 {
				t.Errorf("%s:%s has %d rows among the crashes", kind, step[1], n)
			}
			delete(rows, kind+":"+step[1])
		}
	}
	for step := range rows {
		t.Errorf("%s is no step", step)
	}
}

// TestCrashes kills the daemon at each row's step. The next start brings the row's outcome,
// nothing is left that belongs to nothing, and the same can be done again.
func TestCrashes(t *testing.T) {
	for _, c := range crashes {
		for _, at := range []struct{ point, want string }{{c.kind + ":" + c.step, c.begun}, {c.kind + ":" + c.step + ":done", c.done}} {
			t.Run(at.point, func(t *testing.T) {
				t.Parallel()
				i := slices.IndexFunc(journeys, func(j journey) bool { return j.name == c.journey })
				if i < 0 {
					t.Fatalf("there is no journey %q", c.journey)
				}
				journeys[i].crash(t, at.point, at.want)
			})
		}
	}
}

// crash kills the daemon at a point of the journey and starts another.
func (j journey) crash(t *testing.T, point, want string) {
	t.Helper()
	j.in(t, func(w *world, l *life) {
		last := l.lastEvent(w.t)
		l.dieAt(point)
		ended := make(chan error, 1)
		go func() { ended <- j.run(daemon.WithCaller(w.t.Context(), crashCaller), w, l) }()
		select {
		case <-l.line.Dead():
		case <-time.After(limit):
			select {
			case err := <-ended:
				w.t.Fatalf("it ended before %s, and came by %v: %v", point, l.passed(), err)
			default:
				w.t.Fatalf("it did not come to %s, but by %v", point, l.passed())
			}
		}
		l = w.start()
		w.settle()
		got := j.outcome(w, l)
		if j.is != nil && got != want {
			w.t.Errorf("the outcome is %s, not the %s", got, want)
		}
		operation, _, _ := strings.Cut(point, ":")
		l.tellsOnce(w.t, last, operation, want)
		j.again(w, l, got)
	})
}

// again does the journey once more, unless the new is there already.
func (j journey) again(w *world, l *life, is string) {
	w.t.Helper()
	if j.is != nil && is == isNew {
		return
	}
	err := j.run(w.t.Context(), w, l)
	if j.fails != (err != nil) {
		w.t.Errorf("again: %v", err)
	}
	w.settle()
	want := isNew
	if j.fails {
		want = isOld
	}
	if got := j.outcome(w, l); j.is != nil && got != want {
		w.t.Errorf("again, the outcome is %s, not the %s", got, want)
	}
}
