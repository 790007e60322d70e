// Package dotenv reads and writes .env files: lines of KEY=value.
//
// There is no standard for them, and the programs that read them differ. What all of
// them, or the people who write such lines, mean the same by is read; what they would
// read differently is refused, with its line. Write and Parse are each other's inverse
// for every value without a NUL byte, and a POSIX shell reads what Write writes.
package dotenv

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"towline/daemon/shell"
)

// Var is one KEY=value, with the line where it begins, from 1. The key is as it stands
// in the file: whether it is allowed is the caller's to say.
type Var struct {
	Key, Value string
	Line       int
}

// Error says what can't be read, and in which line. Hint says what to write instead.
type Error struct {
	Line          int
	Message, Hint string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d %s", e.Line, e.Message) }

const singleQuotes = "write the value in single quotes to have it taken as it is"

// Write writes one line, or more where the value has newlines.
// The value is in single quotes, as a shell reads them.
func Write(w io.Writer, key, value string) error {
	_, err := fmt.Fprintf(w, "%s=%s\n", key, shell.Protect(value))
	return err
}

// Parse reads a whole file. All errors are *Error.
//
//   - Blank lines and lines that begin with # are skipped, "export " before a key too.
//   - 'value': everything up to the closing quote, newlines as well. A quote inside is written as a shell does, see Write.
//   - "value": \n, \r, \", \\, \$ and \` mean what they say; it may have newlines.
//   - Without quotes the value ends at the end of the line, or at a # after a blank.
//   - A file whose first line ends in CRLF has CRLF for all line endings, and they are
//     newlines in values too. A byte order mark is skipped.
func Parse(text []byte) ([]Var, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if i := bytes.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	}
	p := parser{rest: string(text), line: 1}
	if i := invalid(p.rest); i >= 0 {
		return nil, &Error{1 + strings.Count(p.rest[:i], "\n"), "is not text in UTF-8", "save the file as UTF-8"}
	}
	var vars []Var
	seen := map[string]int{}
	for p.rest != "" {
		v, found, err := p.entry()
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		if first := seen[v.Key]; first > 0 {
			return nil, &Error{v.Line, fmt.Sprintf("sets %s again, which line %d has set", v.Key, first), "leave one of them out"}
		}
		seen[v.Key] = v.Line
		vars = append(vars, v)
	}
	return vars, nil
}

// invalid is where the text is no UTF-8 or has a NUL byte; -1 if nowhere.
func invalid(s string) int {
	for i, r := range s {
		if r == 0 || r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd") {
			return i
		}
	}
	return -1
}

// parser is what is left of the text, and the line that it begins in.
type parser struct {
	rest string
	line int
}

// take removes the first n bytes.
func (p *parser) take(n int) string {
	s := p.rest[:n]
	p.line += strings.Count(s, "\n")
	p.rest = p.rest[n:]
	return s
}

// restOfLine removes all up to the newline, and the newline.
func (p *parser) restOfLine() string {
	line, _, _ := strings.Cut(p.rest, "\n")
	p.take(min(len(line)+1, len(p.rest)))
	return line
}

// entry reads one line, or the lines of one value. found is false for a blank line or
// a comment.
func (p *parser) entry() (v Var, found bool, _ error) {
	line, _, _ := strings.Cut(p.rest, "\n")
	if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' {
		p.restOfLine()
		return v, false, nil
	}
	equals := strings.IndexByte(line, '=')
	if equals < 0 {
		return v, false, p.error("has no =", "write KEY=value")
	}
	key := strings.TrimSpace(line[:equals])
	if word, name, more := strings.Cut(strings.ReplaceAll(key, "\t", " "), " "); more && word == "export" {
		key = strings.TrimSpace(name)
	}
	v = Var{Key: key, Line: p.line}
	p.take(equals + 1)
	p.take(len(p.rest) - len(strings.TrimLeft(p.rest, " \t")))
	var err error
	switch {
	case strings.HasPrefix(p.rest, "'"):
		v.Value, err = p.single()
	case strings.HasPrefix(p.rest, `"`):
		v.Value, err = p.double()
	default:
		v.Value, err = p.bare(line[equals+1:])
	}
	return v, err == nil, err
}

func (p *parser) error(message, hint string) error { return &Error{p.line, message, hint} }

// bare reads a value without quotes; after is all that follows the =.
func (p *parser) bare(after string) (string, error) {
	value := after
	for i := 1; i < len(after); i++ {
		if after[i] == '#' && (after[i-1] == ' ' || after[i-1] == '\t') {
			value = after[:i]
			break
		}
	}
	value = strings.TrimSpace(value)
	for i := range len(value) {
		next := byte(0)
		if i+1 < len(value) {
			next = value[i+1]
		}
		switch {
		case value[i] == '`', value[i] == '$' && next == '(':
			return "", p.error("has a command in its value, and commands are not run", singleQuotes)
		case value[i] == '$' && beginsName(next):
			return "", p.error("has a variable in its value, and variables are not replaced", singleQuotes)
		case value[i] == '\\' && (next == 0 || strings.IndexByte("\\$\"'`# ", next) >= 0):
			return "", p.error("has a backslash that programs read differently", singleQuotes)
		}
	}
	p.restOfLine()
	return value, nil
}

func beginsName(c byte) bool {
	return c == '{' || c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// single reads a value in single quotes, and what Write writes for one inside.
func (p *parser) single() (string, error) {
	var value strings.Builder
	begin := p.line
	for {
		p.take(1)
		end := strings.IndexByte(p.rest, '\'')
		if end < 0 {
			return "", &Error{begin, "begins a value in single quotes that is not closed", `inside of single quotes a single quote is written '\''`}
		}
		value.WriteString(p.take(end))
		p.take(1)
		if !strings.HasPrefix(p.rest, `\''`) {
			return value.String(), p.afterQuote()
		}
		value.WriteByte('\'')
		p.take(2)
	}
}

// double reads a value in double quotes.
func (p *parser) double() (string, error) {
	var value strings.Builder
	begin := p.line
	p.take(1)
	for p.rest != "" {
		next := byte(0)
		if len(p.rest) > 1 {
			next = p.rest[1]
		}
		switch c := p.rest[0]; {
		case c == '"':
			p.take(1)
			return value.String(), p.afterQuote()
		case c == '`', c == '$' && next == '(':
			return "", p.error("has a command in its value, and commands are not run", singleQuotes)
		case c == '$' && beginsName(next):
			return "", p.error("has a variable in its value, and variables are not replaced", `write \$ for a dollar sign, or the value in single quotes`)
		case c == '\\':
			i := strings.IndexByte("nr\"\\$`", next)
			if i < 0 {
				return "", p.error(`has a backslash that programs read differently`, `write \\ for a backslash, or the value in single quotes`)
			}
			value.WriteByte("\n\r\"\\$`"[i])
			p.take(2)
		default:
			value.WriteString(p.take(1))
		}
	}
	return "", &Error{begin, "begins a value in double quotes that is not closed", `inside of double quotes a double quote is written \"`}
}

// afterQuote reads the rest of the line behind a closing quote: nothing, or a comment.
func (p *parser) afterQuote() error {
	line, _, _ := strings.Cut(p.rest, "\n")
	after := strings.TrimSpace(line)
	if after != "" && (after[0] != '#' || line[0] == '#') {
		return p.error("has more after the closing quote", `inside of single quotes a single quote is written '\'', inside of double quotes a double quote \"`)
	}
	p.restOfLine()
	return nil
}
