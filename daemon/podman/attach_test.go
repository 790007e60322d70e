package podman_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towline/daemon"
)

func TestRunAttachedKeepsEveryByte(t *testing.T) {
	e := newEngine(t)
	for _, spec := range []daemon.ContainerSpec{{}, {Init: true}, {Stdin: true}} {
		c := create(t, e, spec, "out", "one", "err", "two", "exit", "37")
		out, errs, code := output(t, e, c)
		if out != "one" || errs != "two" || code != 37 {
			t.Errorf("%+v: got %q, %q, %d", spec, out, errs, code)
		}
	}
}

func TestRunAttachedPassesStdinToItsEnd(t *testing.T) {
	e := newEngine(t)
	c := create(t, e, daemon.ContainerSpec{Stdin: true}, "cat", "out", "END")
	input := strings.Repeat("\x10\x11binary\x00\n", 100_000)
	var out bytes.Buffer
	code, err := e.RunAttached(t.Context(), c, daemon.Streams{Stdin: strings.NewReader(input), Stdout: &out})
	if err != nil || code != 0 || out.String() != input+"END" {
		t.Errorf("got %d bytes of %d, code %d, error %v", out.Len(), len(input)+3, code, err)
	}
}

// Input that comes as the process ends must not take its last words away.
func TestRunAttachedKeepsOutputWhileInputComes(t *testing.T) {
	e := newEngine(t)
	for _, terminal := range []bool{false, true} {
		for range 4 { // a terminal shows what is typed as well, after END too
			c := create(t, e, daemon.ContainerSpec{Stdin: true, Terminal: terminal}, "flood", "2000", "out", "END")
			var out bytes.Buffer
			code, err := e.RunAttached(t.Context(), c, daemon.Streams{Stdin: typing{}, Stdout: &out, Terminal: terminal})
			if err != nil || code != 0 || !strings.Contains(out.String(), "END") {
				t.Errorf("terminal %v: got %d bytes, code %d, error %v", terminal, out.Len(), code, err)
			}
		}
	}
}

// typing never ends.
type typing struct{}

func (typing) Read(b []byte) (int, error) { return copy(b, "y\n"), nil }

// TestRunAttachedWithoutLog: what is shown reaches whoever is attached, whole, and is kept
// nowhere.
func TestRunAttachedWithoutLog(t *testing.T) {
	e := newEngine(t)
	for _, terminal := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "log")
		c := create(t, e, daemon.ContainerSpec{NoLog: true, LogPath: path, Terminal: terminal, Init: true}, "out", strings.Repeat("secret ", 10_000), "exit", "3")
		var out bytes.Buffer
		code, err := e.RunAttached(t.Context(), c, daemon.Streams{Stdout: &out, Terminal: terminal})
		if err != nil || code != 3 || strings.Count(out.String(), "secret ") != 10_000 {
			t.Errorf("terminal %v: code %d, %d bytes, %v", terminal, code, out.Len(), err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("terminal %v: there is a log: %v", terminal, err)
		}
		var kept bytes.Buffer
		if err := e.ContainerLog(t.Context(), c, false, &kept, &kept); err == nil && kept.Len() > 0 {
			t.Errorf("terminal %v: Podman keeps %d bytes", terminal, kept.Len())
		}
	}
}
