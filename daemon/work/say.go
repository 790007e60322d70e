// Package work has what any long work of a daemon needs, whatever it is about: locks by name,
// lines of progress for the user, turns, an end that outlasts who asked for it, and room on a full
// disk for recording how it ended.
package work

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"towline/daemon"
)

// Say writes one line of progress for the user. A user who hung up is no error:
// the work goes on.
func Say(out io.Writer, format string, args ...any) {
	if out != nil {
		fmt.Fprintf(out, format+"\n", args...)
	}
}

// Warn says what went wrong without ending the work, each line of it marked.
func Warn(out io.Writer, format string, args ...any) {
	Say(out, " !     %s", strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n !     "))
}

// Stage announces a stage, in the voice that users of git push know.
func Stage(out io.Writer, format string, args ...any) { Say(out, "-----> "+format, args...) }

// Indent is a writer that puts the output of a process below its stage.
type Indent struct {
	mu   sync.Mutex
	out  io.Writer
	tail strings.Builder // everything written, bounded, for the record
	part []byte
}

const (
	maxRecordedOutput = 256 << 10
	maxShownLine      = 16 << 10 // bytes; a longer one is shown as several
)

// NewIndent returns one that writes to out.
func NewIndent(out io.Writer) *Indent { return &Indent{out: out} }

// Write never fails.
func (w *Indent) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tail.Len() < maxRecordedOutput {
		w.tail.Write(p)
	}
	w.part = eachLine(append(w.part, p...), func(line []byte) { Say(w.out, "       %s", bytes.TrimRight(line, "\r")) })
	return len(p), nil
}

// eachLine hands on the lines that have ended, and of one that does not end what is too long to
// wait for the rest, which it returns.
func eachLine(text []byte, show func(line []byte)) (rest []byte) {
	for {
		i := bytes.IndexByte(text, '\n')
		next := i + 1
		if i < 0 && len(text) > maxShownLine {
			i, next = maxShownLine, maxShownLine
		}
		if i < 0 {
			return text
		}
		show(text[:i])
		text = text[next:]
	}
}

// Flush writes an unfinished last line.
func (w *Indent) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.part) > 0 {
		Say(w.out, "       %s", w.part)
		w.part = nil
	}
}

// String is what was written, cut at a bound.
func (w *Indent) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tail.String()
}

// WithHint is an error with what to type next, on a line of its own.
func WithHint(err error) string {
	text := err.Error()
	var e *daemon.Error
	if errors.As(err, &e) && e.Hint != "" {
		text += "\n" + e.Hint
	}
	return text
}
