package build

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"towline/daemon/cause"
)

const (
	indentation  = "       " // as wide as "-----> "
	maxLine      = 4096      // bytes kept of one line; the rest is dropped
	reasonLines  = 80        // lines at the end where the cause of a failure is sought
	maxClipped   = 300       // bytes
	stagePrefix  = "-----> "
	warnPrefix   = " !     "
	deleteToLine = "\x1b[K"
)

// output is what the user sees of a build, in the voice that users of git push
// know: stages begin with an arrow, everything else is indented below them.
// It can be written to from several sides at once, and never fails: a user who
// hung up does not end the build.
type output struct {
	mu     sync.Mutex
	out    io.Writer
	part   []byte   // of a line not yet ended
	last   []string // the newest lines, oldest first
	filter func(line string) (string, bool)
}

func newOutput(out io.Writer) *output {
	if out == nil {
		out = io.Discard
	}
	return &output{out: out}
}

// Stage announces a stage.
func (o *output) Stage(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
	fmt.Fprintf(o.out, stagePrefix+format+"\n", args...)
}

// Note says more of a stage.
func (o *output) Note(format string, args ...any) { o.say(indentation, fmt.Sprintf(format, args...)) }

// Warn tells of what its reader may have to do something about.
func (o *output) Warn(text string) { o.say(warnPrefix, text) }

func (o *output) say(prefix, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
	for line := range strings.Lines(text) {
		fmt.Fprintln(o.out, prefix+strings.TrimSuffix(line, "\n"))
	}
}

// Filter has every line of a process looked at before it is shown. f may change
// or drop it. Nil: show all.
func (o *output) Filter(f func(line string) (string, bool)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
	o.filter = f
}

// Write takes the output of a process.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		if room := maxLine - len(o.part); room > 0 {
			o.part = append(o.part, line[:min(room, len(line))]...)
		}
		if ended {
			o.line()
		}
		rest = after
	}
	return len(p), nil
}

// flush ends a line that its writer did not.
func (o *output) flush() {
	if len(o.part) > 0 {
		o.line()
	}
}

func (o *output) line() {
	line := string(o.part)
	o.part = o.part[:0]
	// Progress that redraws its line: only the last state is of interest.
	line = strings.TrimRight(line, "\r")
	line = strings.TrimRight(line[strings.LastIndexByte(line, '\r')+1:], " \t")
	line = strings.TrimPrefix(line, deleteToLine)
	if o.filter != nil {
		var keep bool
		if line, keep = o.filter(line); !keep {
			return
		}
	}
	if o.last = append(o.last, line); len(o.last) > reasonLines {
		o.last = o.last[1:]
	}
	switch {
	case line == "":
		fmt.Fprintln(o.out)
	case strings.HasPrefix(line, stagePrefix), strings.HasPrefix(line, warnPrefix), strings.HasPrefix(line, indentation):
		fmt.Fprintln(o.out, line)
	default:
		fmt.Fprintln(o.out, indentation+line)
	}
}

var killed = regexp.MustCompile(`(?i)^killed$|\bexit(ed with)? (status|code):? 137\b|\bSIGKILL\b|^subprocess exited on killed$`)

// Cause is why the last process failed, as far as what it wrote tells.
func (o *output) Cause() cause.Cause {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
	return cause.Of(o.last)
}

// Killed tells whether something in the last process was killed, as happens to what
// needs more memory than there is.
func (o *output) Killed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(o.last, killed.MatchString)
}

func clipped(line string) string {
	if len(line) > maxClipped {
		return strings.ToValidUTF8(line[:maxClipped], "") + "..."
	}
	return line
}
