package work

import (
	"io"
	"sync"
)

// Lines has several writers share one, line by line.
type Lines struct {
	mu  sync.Mutex
	out io.Writer
}

// NewLines returns one for out.
func NewLines(out io.Writer) *Lines { return &Lines{out: out} }

// Prefixed returns a writer of whole lines, each after a prefix. A line that does not end is cut.
// Close writes what is left of the last one. Writing never fails.
func (l *Lines) Prefixed(prefix string) io.WriteCloser { return &prefixed{lines: l, prefix: prefix} }

type prefixed struct {
	lines  *Lines
	prefix string

	mu   sync.Mutex
	part []byte
}

func (w *prefixed) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.part = eachLine(append(w.part, p...), w.line)
	return len(p), nil
}

func (w *prefixed) line(text []byte) {
	w.lines.mu.Lock()
	defer w.lines.mu.Unlock()
	line := append(append([]byte(w.prefix), text...), '\n')
	_, _ = w.lines.out.Write(line) // who asked may have hung up
}

// Close implements io.Closer.
func (w *prefixed) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.part) > 0 {
		w.line(w.part)
		w.part = nil
	}
	return nil
}
