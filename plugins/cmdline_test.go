package plugins_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"towline/plugins"
)

// watch looks for secrets on the command lines of all processes of this machine, as any
// of its users could. Looking costs: one watch is enough for a test, and a command that
// is over in less than its pace may escape it.
type watch struct {
	mu      sync.Mutex
	secrets map[string]string // value -> name
	found   map[string]string // name -> the line
	looks   int
}

// watchCommandLines looks until the test is over, which then fails if there was one.
func watchCommandLines(t *testing.T) *watch {
	w := &watch{secrets: map[string]string{}, found: map[string]string{}}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			w.look()
			select {
			case <-time.After(100 * time.Millisecond):
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(done)
		<-ended
		for name, line := range w.found {
			t.Errorf("the secret %s was on a command line: %s", name, line)
		}
		t.Logf("looked at all command lines %d times", w.looks)
	})
	return w
}

// add has the watch look for an add-on's secrets. User names are none.
func (w *watch) add(m *plugins.Manifest, secrets map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range m.Secrets {
		if s.First == "" {
			w.secrets[secrets[s.Name]] = s.Name
		}
	}
}

func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		line, _ := os.ReadFile(path) // of a process that may have ended
		for secret, name := range w.secrets {
			if bytes.Contains(line, []byte(secret)) {
				w.found[name] = strings.ReplaceAll(string(line), "\x00", " ")
			}
		}
	}
}

// TestWatch: a watch that finds nothing would prove nothing.
func TestWatch(t *testing.T) {
	w := &watch{secrets: map[string]string{filepath.Base(os.Args[0]): "program"}, found: map[string]string{}}
	w.look()
	if len(w.found) != 1 {
		t.Errorf("found %v", w.found)
	}
}
