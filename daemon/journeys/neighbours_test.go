package journeys

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/faults"
)

// wrong is one call that goes wrong: the n-th of its method in a journey.
type wrong struct {
	method string
	n      int
	way    faults.Way
}

func (c wrong) String() string { return fmt.Sprintf("%s %d %s", c.method, c.n, c.way) }

// ways are those in which a call can go wrong. What is done within the daemon's own process
// does not lose its answer.
func ways(c faults.Call) []faults.Way {
	switch port, _, _ := strings.Cut(c.Method, "."); port {
	case "Engine", "Router", "Offsite":
		return []faults.Way{faults.Fails, faults.Breaks, faults.Hangs, faults.Late}
	case "Builder":
		return []faults.Way{faults.Fails, faults.Breaks, faults.Hangs}
	}
	return []faults.Way{faults.Breaks}
}

// accepted is what goes wrong without being mended by itself, and why.
var accepted = map[string]string{
	"Offsite.Forget fails":  "the server may be gone for ever; the log of the add-on says that the copy is left",
	"Offsite.Forget breaks": "likewise",
	"Offsite.Forget hangs":  "likewise",
}

// thinned is every n-th case.
func thinned(cases []wrong, n int) (some []wrong) {
	for i := 0; i < len(cases); i += n {
		some = append(some, cases[i])
	}
	return some
}

// rule has that call go wrong, and no other.
func (c wrong) rule() func(int, faults.Call) faults.Way {
	var mu sync.Mutex
	seen := 0
	return func(_ int, call faults.Call) faults.Way {
		mu.Lock()
		defer mu.Unlock()
		if call.Method != c.method {
			return ""
		}
		if seen++; seen == c.n {
			return c.way
		}
		return ""
	}
}

// TestNeighbours has each call of each journey to Podman, the proxy, git, the vault and the
// offsite server go wrong, one after the other, in every way. The journey ends in time and
// with an error that says what kind it is of, the old or the new serves, and nothing is left
// that belongs to nothing: as soon as the neighbour is back or, where it refuses something,
// after the next start.
func TestNeighbours(t *testing.T) {
	for _, j := range journeys {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			var calls []faults.Call
			j.in(t, func(w *world, l *life) {
				l.line.Rule(nil)
				if err := j.run(w.t.Context(), w, l); j.fails != (err != nil) {
					w.t.Fatal(err)
				}
				w.settle()
				calls = l.line.Calls()
			})
			var cases []wrong
			n := map[string]int{}
			for _, c := range calls {
				n[c.Method]++
				for _, way := range ways(c) {
					cases = append(cases, wrong{c.Method, n[c.Method], way})
				}
			}
			cases = slices.DeleteFunc(cases, func(c wrong) bool { return accepted[c.method+" "+string(c.way)] != "" })
			if os.Getenv("TOWLINE_EVERY_CALL") == "" {
				cases = thinned(cases, stride*max(1, j.dear))
			}
			for len(cases) > 0 && !t.Failed() {
				j.in(t, func(w *world, l *life) { cases = j.goWrong(w, l, cases) })
			}
		})
	}
}

// goWrong takes one case after the other through the same world, until the new is there, and
// returns those that are left.
func (j journey) goWrong(w *world, l *life, cases []wrong) []wrong {
	for i, c := range cases {
		l.line.Rule(c.rule())
		since := time.Now()
		err := j.run(w.t.Context(), w, l)
		if took := time.Since(since); took > limit {
			w.t.Errorf("%s: it took %s", c, took)
		}
		var kind *daemon.Error
		if err != nil && !errors.As(err, &kind) {
			w.t.Errorf("%s: an error of no kind: %v", c, err)
		}
		w.settle()
		met := l.line.Met()
		l.line.Rule(nil)
		if found := w.faultsFound(l); len(found) > 0 {
			if c.way != faults.Breaks {
				w.t.Errorf("%s: until the next start: %v", c, found)
			}
			l.end()
			l = w.start()
			w.settle()
		}
		is := j.outcome(w, l)
		if j.is != nil && (is != isOld && is != isNew || err == nil && is != isNew) {
			w.t.Errorf("%s: it ended with %v, and the outcome is %s", c, err, is)
		}
		if w.t.Failed() {
			w.t.Errorf("%s: that was it: %v; it ended with: %v", c, met, err)
			return nil
		}
		if is == isNew && j.is != nil {
			return cases[i+1:]
		}
	}
	j.again(w, l, isOld)
	return nil
}
