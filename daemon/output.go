package daemon

import (
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

const maxRecordedOutput = 256 << 10

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
		i := strings.IndexByte(string(w.part), '\n')
		if i < 0 {
			return len(p), nil
		}
		say(w.out, "       %s", strings.TrimRight(string(w.part[:i]), "\r"))
		w.part = w.part[i+1:]
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

// who names a member in logs; without one it is the operator on the host.
func who(member string) string {
	if member == "" {
		return "the operator"
	}
	return member
}
