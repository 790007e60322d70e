package build

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
)

const (
	indentation  = "       " // as wide as "-----> "
	maxLine      = 4096      // bytes kept of one line; the rest is dropped
	reasonLines  = 30        // lines at the end where the reason of a failure is sought
	maxReason    = 300       // bytes
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

var (
	ansi       = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	complaint  = regexp.MustCompile(`(?i)\berror\b|\bfailed\b|\bfatal\b|cannot|can't|could not|couldn't|not found|no such|unable to|npm ERR!`)
	afterwords = regexp.MustCompile(`(?i)^(ERROR: failed to [a-z]+: exit status \d+$|Error: building at STEP .*: (while running runtime: )?exit status \d+$|subprocess exited|exit status \d+$|npm (ERR!|error) (A complete log|.*-debug-))`)
	// noise is never a reason: what is about to be done, and a program's own log.
	noise  = regexp.MustCompile(`^((\[\d+/\d+\] )?STEP \d+|time="[^"]*" level=|\(cached\))`)
	killed = regexp.MustCompile(`(?i)^killed$|\bexit(ed with)? (status|code):? 137\b|\bSIGKILL\b`)
)

// Reason is the line that most likely tells why the last process failed: the
// newest that sounds like a complaint, but for those that only say that there
// was one.
func (o *output) Reason() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
	var last, complained string
	for i := len(o.last) - 1; i >= 0; i-- {
		line := strings.TrimSpace(ansi.ReplaceAllString(o.last[i], ""))
		line = strings.TrimSpace(strings.TrimPrefix(line, "!"))
		switch {
		case line == "", noise.MatchString(line):
		case afterwords.MatchString(line):
			if last == "" {
				last = line
			}
		case complaint.MatchString(line):
			return clipped(line)
		case complained == "":
			complained = line
		}
	}
	if complained != "" {
		return clipped(complained)
	}
	return clipped(last)
}

// Killed tells whether something in the last process was killed, as happens to what
// needs more memory than there is.
func (o *output) Killed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(o.last, killed.MatchString)
}

func clipped(line string) string {
	if len(line) > maxReason {
		return strings.ToValidUTF8(line[:maxReason], "") + "..."
	}
	return line
}
