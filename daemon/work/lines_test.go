package work

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestLines: lines of several writers come whole, each with its prefix, in each writer's order.
func TestLines(t *testing.T) {
	var out bytes.Buffer
	l := NewLines(&out)
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		wg.Go(func() {
			w := l.Prefixed(name + ": ")
			for range 100 {
				for _, part := range []string{"on", "e\ntwo", "\nthree "} {
					_, _ = io.WriteString(w, part)
				}
			}
			_ = w.Close()
		})
	}
	wg.Wait()
	got := map[string][]string{}
	for line := range strings.Lines(out.String()) {
		name, text, ok := strings.Cut(line, ": ")
		if !ok {
			t.Fatalf("%q", line)
		}
		got[name] = append(got[name], text)
	}
	want := slices.Repeat([]string{"three one\n", "two\n"}, 100)
	want[0] = "one\n"
	want = append(want, "three \n")
	for _, name := range []string{"a", "b", "c"} {
		if !slices.Equal(got[name], want) {
			t.Errorf("%s: %q", name, got[name])
		}
	}
	w := l.Prefixed("long: ")
	out.Reset()
	_, _ = w.Write(bytes.Repeat([]byte("x"), 3*maxShownLine+1))
	if n := strings.Count(out.String(), "long: "); n != 3 {
		t.Errorf("a line that does not end is shown as %d", n)
	}
}
