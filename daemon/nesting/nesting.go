// Package nesting looks, before a parser does, at how deep a text of a stranger's is nested: what
// a parser of TOML needs for it, in memory and time, grows with the square of the depth.
package nesting

import "strings"

// Max is deeper than any file of a person's.
const Max = 16

// TOML is the line on which brackets within each other, or the names of one key, become more than
// Max; 0: none. Of text that is no TOML it may say anything: the parser stops there.
func TOML(text string) int {
	line, depth, dots := 1, 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\n':
			line++
			dots = 0
		case '#':
			n := strings.IndexByte(text[i:], '\n')
			if n < 0 {
				return 0
			}
			i += n - 1
		case '"', '\'':
			end := stringEnd(text, i)
			line += strings.Count(text[i:end], "\n")
			i = end - 1
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		case '.':
			dots++
		case '=', ',':
			dots = 0
		}
		if depth > Max || dots >= Max {
			return line
		}
	}
	return 0
}

// stringEnd is the offset behind the string that begins at one.
func stringEnd(text string, at int) int {
	quote := text[at : at+1]
	long := strings.HasPrefix(text[at:], strings.Repeat(quote, 3))
	i := at + 1
	if long {
		i = at + 3
	}
	for ; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == `"`:
			i++
		case text[i] == '\n' && !long:
			return i // which no parser goes beyond
		case text[i] != quote[0]:
		case !long:
			return i + 1
		case strings.HasPrefix(text[i:], strings.Repeat(quote, 3)):
			for i += 3; strings.HasPrefix(text[i:], quote); i++ { // which are the string's own
			}
			return i
		}
	}
	return len(text)
}
