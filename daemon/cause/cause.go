// Package cause finds, in what a build or a process wrote before it failed, the line that says
// why: not the last that sounds bad, which is mostly of a stack. It knows the words of many
// languages' tools, and what they mean.
package cause

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Cause is why something failed.
type Cause struct {
	Line  string // as it was written, without colours
	Words string // what it means; empty: the line says it
	Hint  string // what to do; empty: that depends
	// Var is a config var that it misses; empty: it is something else.
	Var string
	// known tells that the line is one of those that known has, thrown that a language has
	// thrown it.
	known, thrown bool
}

// String is what there is to say.
func (c Cause) String() string {
	if c.Words != "" {
		return c.Words
	}
	return c.Line
}

// Complains tells a line that sounds like a cause from one that is only the last.
func (c Cause) Complains() bool {
	return c.known || c.thrown || complaint.MatchString(c.Line)
}

// Known tells whether the line is understood, and not only taken for the likeliest.
func (c Cause) Known() bool { return c.known }

const maxLine = 300 // bytes

var ansi = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07`)

// Of looks for the cause in lines, oldest first. Without any that says one it is the zero value.
func Of(lines []string) Cause {
	plain := make([]string, len(lines))
	for i, line := range lines {
		plain[i] = clean(line)
	}
	for _, k := range known {
		for _, line := range plain {
			if m := k.line.FindStringSubmatch(line); m != nil && !noise.MatchString(line) {
				if c := k.cause(m); c != (Cause{}) {
					c.Line, c.known = clip(line), true
					return c
				}
			}
		}
	}
	for _, find := range []func([]string) string{pythonError, javaError, thrown} {
		if line := find(plain); line != "" {
			return Cause{Line: clip(line), thrown: true}
		}
	}
	return Cause{Line: clip(complaintOf(plain))}
}

// clean takes away colours, marks and whatever else no terminal should be given.
func clean(line string) string {
	line = ansi.ReplaceAllString(line, "")
	line = strings.Map(func(r rune) rune {
		if r == '\t' || !unicode.IsControl(r) {
			return r
		}
		return -1
	}, line)
	line = strings.TrimRight(line, " \t")
	if mark, rest, ok := strings.Cut(line, "!     "); ok && strings.TrimSpace(mark) == "" {
		line = rest
	}
	return line
}

func clip(line string) string {
	line = strings.TrimSpace(line)
	if len(line) > maxLine {
		return strings.ToValidUTF8(line[:maxLine], "") + "..."
	}
	return line
}

var (
	// noise is never a cause: frames of a stack, what is about to be done, a program's own log of
	// how it was told, and what only says that something failed.
	noise = regexp.MustCompile(`^\s*(at |from |in |\.\.\. |File "|(\[\d+/\d+\] )?STEP \d+|time="[^"]*" level=|\(cached\)|Node\.js v\d|Emitted '[a-z]+' event|` +
		`(errno|code|syscall|path|spawnargs|requireStack|cmd|stdio):|[\[\]{}()^~|]+,?$|throw\b|npm (ERR!|error) (A complete log|errno|syscall|path|command|Lifecycle|code|workspace|location|.*-debug-|$)|` +
		`gyp ERR! (stack|System|command|cwd|node|not ok)|The command .* (failed|returned)|For more information|See the (docs|log)|A new release of|WARN|warning|DEBUG|INFO )`)
	// afterwords only say that there was a failure: they count where nothing else says more.
	afterwords = regexp.MustCompile(`(?i)^(ERROR: failed to [a-z]+: exit status \d+$|Error: building at STEP .*: (while running runtime: )?exit status \d+$|subprocess exited|exit status \d+$|` +
		`error Command failed with exit code|error: command .* failed|error: subprocess-exited-with-error|ELIFECYCLE|.*Command failed with exit code \d+\.?$|make(\[\d+\])?: \*\*\*.*Error \d+$|command terminated|note: This error originates|error: metadata-generation-failed|hint: See above for details)`)
	complaint = regexp.MustCompile(`(?i)\berror\b|\w(Error|Exception)\b|\bfailed\b|\bfatal\b|\bpanic\b|cannot|can't|could not|couldn't|not found|no such|unable to|denied|npm ERR!`)
)

// complaintOf is the newest line that sounds like a complaint, else the newest at all.
func complaintOf(lines []string) string {
	var last, after string
	for _, line := range slices.Backward(lines) {
		line = strings.TrimSpace(line)
		switch {
		case line == "", noise.MatchString(line):
		case afterwords.MatchString(line):
			if after == "" {
				after = line
			}
		case complaint.MatchString(line):
			return line
		case last == "":
			last = line
		}
	}
	if last != "" {
		return last
	}
	return after
}

// pythonError is the line after the frames of the last traceback.
func pythonError(lines []string) string {
	found := ""
	inside := false
	for _, line := range lines {
		switch {
		case strings.Contains(line, "Traceback (most recent call last)"):
			inside = true
		case inside && line != "" && !strings.HasPrefix(line, " "):
			found, inside = line, false
		}
	}
	return found
}

var (
	javaCause  = regexp.MustCompile(`^\s*Caused by: (.+)`)
	javaThrown = regexp.MustCompile(`^(Exception in thread "[^"]*" .+)`)
)

// javaError is the innermost cause of an exception.
func javaError(lines []string) string {
	found := ""
	for _, line := range lines {
		if m := javaThrown.FindStringSubmatch(line); m != nil {
			found = m[1]
		} else if m := javaCause.FindStringSubmatch(line); m != nil {
			found = m[1]
		}
	}
	return found
}

// exception is a line by which a language says what was thrown.
var exception = regexp.MustCompile(`^\s*(Uncaught )?([A-Za-z_][\w.]*(Error|Exception)|Error)( \[[A-Z_]+\])?: \S|^panic: |\(([A-Z]\w*::)*[A-Z]\w*(Error|NotFound|Exception)\)$|^(PHP )?(Fatal|Parse) error: |^error(\[E\d+\]|: )| error TS\d+: |^thread '[^']*' panicked at|^\S+\.go:\d+(:\d+)?: `)

// thrown is the first of the last few such lines: what comes after it follows from it.
func thrown(lines []string) string {
	for _, line := range lines {
		if exception.MatchString(line) && !noise.MatchString(line) && !afterwords.MatchString(strings.TrimSpace(line)) {
			return line
		}
	}
	return ""
}
