package logs_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"towline/daemon"
	"towline/daemon/logs"
)

func linesOf(t *testing.T, l *logs.Logs, q daemon.LogQuery) (texts []string) {
	t.Helper()
	q.App, q.Lines = "shop", 1_000_000
	if err := l.Read(t.Context(), q, func(line daemon.LogLine) error { texts = append(texts, line.Process+": "+line.Text); return nil }); err != nil {
		t.Fatal(err)
	}
	return texts
}

// What a build writes is read by its number, and with everything else of the app.
func TestKeepOutput(t *testing.T) {
	dir := t.TempDir()
	l := logs.New(logs.Options{Dir: dir})
	for n := 1; n <= 4; n++ {
		w, err := l.KeepOutput("shop", "build", n, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"-----> one", "\ntwo\r\n\n", fmt.Sprint("of ", n)} {
			if _, err := io.WriteString(w, text); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l.Write("shop", "build", "build", "Build succeeded")
	if got, want := linesOf(t, l, daemon.LogQuery{Source: "build", Process: "build.4"}), []string{"build.4: -----> one", "build.4: two", "build.4: ", "build.4: of 4"}; !slices.Equal(got, want) {
		t.Errorf("the fourth: %q, want %q", got, want)
	}
	if got := linesOf(t, l, daemon.LogQuery{Source: "build"}); len(got) != 9 || got[8] != "build: Build succeeded" {
		t.Errorf("of the newest two and the app's own line: %q", got)
	}
	if got := linesOf(t, l, daemon.LogQuery{Source: "app"}); len(got) > 0 {
		t.Errorf("as the app's: %q", got)
	}
	// What tests write comes to who asks for it, and goes with tests alone.
	w, err := l.KeepOutput("shop", "test", 4, 1)
	if err == nil {
		_, err = io.WriteString(w, "ok 1\n")
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if got := linesOf(t, l, daemon.LogQuery{Source: "test", Process: "test.4"}); !slices.Equal(got, []string{"test.4: ok 1"}) {
		t.Errorf("of the tests: %q", got)
	}
	if got := linesOf(t, l, daemon.LogQuery{}); len(got) != 9 {
		t.Errorf("of everything: %q", got)
	}
	info, err := os.Stat(filepath.Join(dir, "shop", "+build.4.log"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// However much a build writes, what is kept is bounded, and is its end.
func TestKeepOutputIsBounded(t *testing.T) {
	dir := t.TempDir()
	l := logs.New(logs.Options{Dir: dir})
	w, err := l.KeepOutput("shop", "build", 1, 50)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 100_000)
	for n := range 40 {
		if _, err := fmt.Fprintf(w, "%d%s\n%s", n, long, long); err != nil { // the second one's end never comes
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, "\nthe end"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var size int64
	entries, err := os.ReadDir(filepath.Join(dir, "shop"))
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
	got := linesOf(t, l, daemon.LogQuery{Process: "build.1"})
	if len(got) == 0 || got[len(got)-1] != "build.1: the end" || size > 1<<20 {
		t.Errorf("%d lines, %d bytes", len(got), size)
	}
}

// TestEmptyLinesTakeRoom: as records they are much more than as text.
func TestEmptyLinesTakeRoom(t *testing.T) {
	dir := t.TempDir()
	l := logs.New(logs.Options{Dir: dir})
	w, err := l.KeepOutput("shop", "build", 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := io.WriteString(w, strings.Repeat("\n", 64<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, name := range []string{"+build.1.log", "+build.1.log.1"} {
		info, err := os.Stat(filepath.Join(dir, "shop", name))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 512<<10 {
		t.Errorf("%d bytes are kept", size)
	}
}
