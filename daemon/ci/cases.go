package ci

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"

	"towline/daemon"
	"towline/daemon/work"
)

// cases are the tests of a node, as far as they are told one by one: by TAP on its output, or by
// reports in JUnit's XML, which count where there are both.
type cases struct {
	tap, xml tally
	last     bool // the line before was of a test of TAP that failed
}

// tally counts tests, and has those that failed.
type tally struct {
	passed, failed, skipped int
	failing                 []daemon.TestCase
}

const (
	maxFailing = 100  // of a node
	maxMessage = 1000 // bytes of each
)

func (t *tally) fail(c daemon.TestCase) {
	if t.failed++; len(t.failing) < maxFailing {
		c.Name, c.Message = clip(c.Name, 300), clip(strings.TrimSpace(c.Message), maxMessage)
		t.failing = append(t.failing, c)
	}
}

// result is what they come to, and hidden takes the secrets out of it.
func (c *cases) result(hidden func(string) string) (passed, failed, skipped int, failing []daemon.TestCase) {
	t := c.tap
	if c.xml.passed+c.xml.failed+c.xml.skipped > 0 {
		t = c.xml
	}
	for _, f := range t.failing {
		failing = append(failing, daemon.TestCase{Name: hidden(f.Name), Message: hidden(f.Message)})
	}
	return t.passed, t.failed, t.skipped, failing
}

// tapLine is a test of TAP's: https://testanything.org/tap-specification.html. Those within others
// are indented, and belong to these. A number has to be there: many programs begin lines with "ok".
var tapLine = regexp.MustCompile(`^(not )?ok +\d+ *-? *([^#]*)(?:# *(?i:(skip|todo))\S* *(.*))?`)

// line looks at a line of output.
func (c *cases) line(line []byte) {
	if !c.last && !bytes.HasPrefix(line, []byte("ok ")) && !bytes.HasPrefix(line, []byte("not ok ")) {
		return
	}
	text := string(line)
	m := tapLine.FindStringSubmatch(text)
	if m == nil {
		if c.last && (strings.HasPrefix(text, "#") || strings.HasPrefix(text, "  ")) && len(c.tap.failing) > 0 {
			f := &c.tap.failing[len(c.tap.failing)-1]
			f.Message = clip(strings.TrimSpace(f.Message+"\n"+printable(strings.TrimSpace(strings.TrimPrefix(text, "#")))), maxMessage)
			return
		}
		c.last = false
		return
	}
	c.last = false
	switch {
	case m[3] != "": // a test that is to be written may fail
		c.tap.skipped++
	case m[1] == "":
		c.tap.passed++
	default:
		c.last = len(c.tap.failing) < maxFailing
		c.tap.fail(daemon.TestCase{Name: printable(strings.TrimSpace(m[2]))})
	}
}

// junit reads a report. Of one that is broken, what comes before the break counts.
func (c *cases) junit(report []byte) {
	d := xml.NewDecoder(bytes.NewReader(report))
	d.Strict = false
	type verdict struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	for {
		token, err := d.Token()
		if err != nil {
			return
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "testcase" {
			continue
		}
		var test struct {
			Name    string   `xml:"name,attr"`
			Class   string   `xml:"classname,attr"`
			Failure *verdict `xml:"failure"`
			Error   *verdict `xml:"error"`
			Skipped *verdict `xml:"skipped"`
		}
		if d.DecodeElement(&test, &start) != nil {
			return
		}
		switch bad := cmp.Or(test.Failure, test.Error); {
		case bad != nil:
			name := test.Name
			if test.Class != "" && !strings.Contains(name, test.Class) {
				name = test.Class + ": " + name
			}
			c.xml.fail(daemon.TestCase{Name: printable(name), Message: printable(cmp.Or(bad.Message, bad.Text))})
		case test.Skipped != nil:
			c.xml.skipped++
		default:
			c.xml.passed++
		}
	}
}

// printable is text of several lines without what a terminal might act upon.
func printable(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = daemon.Printable(strings.ToValidUTF8(strings.ReplaceAll(line, "\t", "  "), "?"))
	}
	return strings.Join(lines, "\n")
}

func clip(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most-3], "") + "..."
	}
	return text
}

// maxTold is how many failing tests the pusher is told of at the end.
const maxTold = 20

// tellFailing says at the end which tests failed, where that is known.
func (t *testRun) tellFailing() {
	total, failed := 0, 0
	var lines []string
	for _, n := range t.Nodes {
		total, failed = total+n.Passed+n.Failed+n.Skipped, failed+n.Failed
		for _, c := range n.Failing {
			first, _, _ := strings.Cut(c.Message, "\n")
			lines = append(lines, strings.TrimSuffix(c.Name+": "+first, ": "))
		}
	}
	if failed == 0 {
		return
	}
	more := ""
	if len(lines) > maxTold {
		lines = lines[:maxTold]
	}
	if n := failed - len(lines); n > 0 {
		more = fmt.Sprintf("\nand %d more", n)
	}
	work.Warn(t.out, "%d of %d tests failed:\n%s%s", failed, total, strings.Join(lines, "\n"), more)
}
