// Package shell reads and writes words as a POSIX shell does. It starts none, and knows
// nothing of Towline.
package shell

import (
	"errors"
	"strings"
)

// Split cuts a command line into words the way a POSIX shell does, and does
// nothing else that a shell would: no variables, no file names, and | ; & < > are
// plain text. Blanks and newlines separate words. Single quotes keep everything;
// double quotes keep everything but a backslash before " \ $ ` or a newline; elsewhere a
// backslash keeps the next character. ssh joins a command's words by blanks, so
// that a quoted word needs a second pair: ssh towline@host run -a shop -- rake
// '"a b"'.
func Split(line string) ([]string, error) {
	var (
		words []string
		word  strings.Builder
		began bool // a word, if only an empty one
	)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch c {
		case ' ', '\t', '\n':
			if began {
				words = append(words, word.String())
				word.Reset()
				began = false
			}
			continue
		case '\'':
			n := strings.IndexByte(line[i+1:], '\'')
			if n < 0 {
				return nil, errors.New("a single quote is not closed")
			}
			word.WriteString(line[i+1 : i+1+n])
			i += 1 + n
		case '"':
			n, err := doubleQuoted(line[i+1:], &word)
			if err != nil {
				return nil, err
			}
			i += 1 + n
		case '\\':
			if i++; i == len(line) {
				return nil, errors.New("nothing follows the last backslash")
			}
			if line[i] == '\n' {
				continue // a long line, continued
			}
			word.WriteByte(line[i])
		case 0:
			return nil, errors.New("a zero byte")
		default:
			word.WriteByte(c)
		}
		began = true
	}
	if began {
		words = append(words, word.String())
	}
	return words, nil
}

// doubleQuoted adds what s holds up to the closing quote, whose place it returns.
func doubleQuoted(s string, word *strings.Builder) (int, error) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '"' {
			return i, nil
		}
		if c == '\\' && i+1 < len(s) && strings.IndexByte("\"\\$`\n", s[i+1]) >= 0 {
			i++
			if s[i] != '\n' {
				word.WriteByte(s[i])
			}
			continue
		}
		word.WriteByte(c)
	}
	return 0, errors.New("a double quote is not closed")
}
