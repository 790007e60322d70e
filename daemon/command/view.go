package command

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// screen is a terminal that a command's output goes to, or whatever else it goes to: then
// it has no width and no colour, and lines stay whole.
type screen struct {
	io.Writer
	width  int // columns; 0: lines have no end
	colour bool
	middle bool // of a line
}

// colours of what begins a line, as ECMA-48 has them.
var colours = []struct{ prefix, begin string }{
	{" !     ", "\x1b[31m"}, {"-----> ", "\x1b[35m"}, {"=== ", "\x1b[1m"},
}

const colourEnd = "\x1b[0m"

// Write colours lines by what they begin with. A line that comes in parts is coloured by
// its first.
func (s *screen) Write(p []byte) (int, error) {
	if !s.colour {
		return s.Writer.Write(p)
	}
	var out bytes.Buffer
	for line := range bytes.Lines(p) {
		text, end := bytes.TrimSuffix(line, []byte("\n")), ""
		if len(text) < len(line) {
			end = "\n"
		}
		fmt.Fprintf(&out, "%s%s", s.paint(string(text)), end)
		s.middle = end == ""
	}
	if _, err := s.Writer.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *screen) paint(line string) string {
	for _, c := range colours {
		if !s.middle && strings.HasPrefix(line, c.prefix) {
			return c.begin + line + colourEnd
		}
	}
	return line
}

// widthOf is how many columns w has; 0: lines have no end.
func widthOf(w io.Writer) int {
	if s, ok := w.(*screen); ok {
		return s.width
	}
	return 0
}

// fold cuts a text into lines of at most width characters, between words where it can.
func fold(text string, width int) []string {
	if width <= 0 || utf8.RuneCountInString(text) <= width {
		return []string{text}
	}
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		for line == "" && utf8.RuneCountInString(word) > width {
			runes := []rune(word)
			lines, word = append(lines, string(runes[:width])), string(runes[width:])
		}
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), ""
			for utf8.RuneCountInString(word) > width {
				runes := []rune(word)
				lines, word = append(lines, string(runes[:width])), string(runes[width:])
			}
			line = word
		}
	}
	return append(lines, line)
}

const (
	gap       = 2  // between columns
	minColumn = 16 // what a column keeps when the lines are too long
)

// layout aligns the columns of rows. Where the lines are wider than the screen, the
// widest columns are folded. A row of one cell is a line of its own.
func layout(w io.Writer, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if len(row) > 1 {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	shrink(widths, widthOf(w))
	for _, row := range rows {
		if len(row) == 1 {
			fmt.Fprintln(w, row[0])
			continue
		}
		cells, height := make([][]string, len(row)), 1
		for i, cell := range row {
			cells[i] = fold(cell, widths[i])
			height = max(height, len(cells[i]))
		}
		for n := range height {
			var line strings.Builder
			for i, lines := range cells {
				text := ""
				if n < len(lines) {
					text = lines[n]
				}
				line.WriteString(text + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+gap))
			}
			fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
		}
	}
}

// shrink takes from the widest column until the lines fit, or nothing can be taken.
func shrink(widths []int, width int) {
	for width > 0 {
		total, widest := gap*(len(widths)-1), 0
		for i, n := range widths {
			total += n
			if n > widths[widest] {
				widest = i
			}
		}
		if total <= width || widths[widest] <= minColumn {
			return
		}
		widths[widest]--
	}
}
