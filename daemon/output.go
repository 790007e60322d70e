package daemon

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
)

// say writes one line of progress for the user. A user who hung up is no error:
// the work goes on.
func say(out io.Writer, format string, args ...any) {
	if out != nil {
		fmt.Fprintf(out, format+"\n", args...)
	}
}

// warn says what went wrong without ending the work, each line of it marked.
func warn(out io.Writer, format string, args ...any) {
	say(out, " !     %s", strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n !     "))
}

// step announces a stage, in the voice that users of git push know.
func step(out io.Writer, format string, args ...any) { say(out, "-----> "+format, args...) }

// indent is a writer that puts the output of a process below its stage.
type indent struct {
	mu   sync.Mutex
	out  io.Writer
	tail strings.Builder // everything written, bounded, for the record
	part []byte
}

const (
	maxRecordedOutput = 256 << 10
	maxShownLine      = 16 << 10 // bytes; a longer one is shown as several
)

func newIndent(out io.Writer) *indent { return &indent{out: out} }

// Write never fails.
func (w *indent) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tail.Len() < maxRecordedOutput {
		w.tail.Write(p)
	}
	w.part = append(w.part, p...)
	for {
		i := bytes.IndexByte(w.part, '\n')
		next := i + 1
		if i < 0 && len(w.part) > maxShownLine { // one that does not end
			i, next = maxShownLine, maxShownLine
		}
		if i < 0 {
			return len(p), nil
		}
		say(w.out, "       %s", bytes.TrimRight(w.part[:i], "\r"))
		w.part = w.part[next:]
	}
}

// Flush writes an unfinished last line.
func (w *indent) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.part) > 0 {
		say(w.out, "       %s", w.part)
		w.part = nil
	}
}

// String is what was written, cut at a bound.
func (w *indent) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tail.String()
}

// maxLogEnd bounds what is kept in memory of a container's log, in bytes.
const maxLogEnd = 64 << 10

// logEnd keeps the last maxLogEnd bytes of what is written.
type logEnd struct{ kept []byte }

// Write never fails.
func (l *logEnd) Write(p []byte) (int, error) {
	l.kept = append(l.kept, p[max(0, len(p)-maxLogEnd):]...)
	if len(l.kept) > 2*maxLogEnd {
		l.kept = append([]byte(nil), l.kept[len(l.kept)-maxLogEnd:]...)
	}
	return len(p), nil
}

// lines are the last n at most; none if nothing was written.
func (l *logEnd) lines(n int) []string {
	text := strings.TrimRight(string(l.kept[max(0, len(l.kept)-maxLogEnd):]), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-n):]
}

// who names a member in logs; without one it is the operator on the host.
func who(member string) string {
	if member == "" {
		return "the operator"
	}
	return member
}
