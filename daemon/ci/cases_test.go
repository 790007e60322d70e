package ci

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"towline/daemon"
)

func TestCases(t *testing.T) {
	same := func(s string) string { return s }
	for name, c := range map[string]struct {
		lines   string
		reports []string
		want    [3]int // passed, failed, skipped
		failing []daemon.TestCase
	}{
		"no tests":   {lines: "hello\nok  \ttowline/daemon\t0.1s\nok\nnot ok at all\nokay 1"},
		"tap":        {lines: "TAP version 13\n1..5\nok 1 - adds\nnot ok 2 - takes away\n# got 3\n  ---\n  want: 2\n  ...\nok 3 # SKIP no net\nnot ok 4 later # TODO\nok 5", want: [3]int{2, 1, 2}, failing: []daemon.TestCase{{Name: "takes away", Message: "got 3\n---\nwant: 2\n..."}}},
		"tap inside": {lines: "    ok 1 - part\n    not ok 2 - part\nnot ok 1 - whole\nok 2", want: [3]int{1, 1, 0}, failing: []daemon.TestCase{{Name: "whole"}}},
		"junit": {reports: []string{`<?xml version="1.0"?><testsuites><testsuite name="s"><testcase name="a" classname="C"/><testcase name="b" classname="C"><failure message="got 3">stack</failure></testcase>
			<testcase name="c"><error>boom</error></testcase><testcase name="d"><skipped/></testcase></testsuite></testsuites>`},
			want: [3]int{1, 2, 1}, failing: []daemon.TestCase{{Name: "C: b", Message: "got 3"}, {Name: "c", Message: "boom"}}},
		"both":      {lines: "ok 1\nok 2", reports: []string{`<testsuite><testcase name="a"/></testsuite>`}, want: [3]int{1, 0, 0}},
		"broken":    {reports: []string{`<testsuite><testcase name="a"/><testcase name="b"`, "", "\x00\xff", `<testsuite><testcase name="c"/></testsuite>`}, want: [3]int{2, 0, 0}},
		"a control": {lines: "not ok 1 - \x1b[31mred\x1b[0m", want: [3]int{0, 1, 0}, failing: []daemon.TestCase{{Name: "[31mred[0m"}}},
	} {
		var got cases
		for line := range strings.SplitSeq(c.lines, "\n") {
			got.line([]byte(line))
		}
		for _, r := range c.reports {
			got.junit([]byte(r))
		}
		passed, failed, skipped, failing := got.result(same)
		if is := [3]int{passed, failed, skipped}; is != c.want || !reflect.DeepEqual(failing, c.failing) {
			t.Errorf("%s: %v %+v, want %v %+v", name, is, failing, c.want, c.failing)
		}
	}
}

// However much fails, what is kept of it is bounded.
func TestCasesAreBounded(t *testing.T) {
	var got cases
	for i := range 10_000 {
		got.line(fmt.Appendf(nil, "not ok %d - %s", i, strings.Repeat("x", 1000)))
		for range 3 {
			got.line([]byte("# " + strings.Repeat("y", 1000)))
		}
	}
	got.junit([]byte(strings.Repeat("<a>", 1_000_000)))
	_, failed, _, failing := got.result(func(s string) string { return s })
	if failed != 10_000 || len(failing) != maxFailing || len(failing[99].Name) > 300 || len(failing[0].Message) > maxMessage {
		t.Errorf("%d failed, %d are kept: %d and %d bytes", failed, len(failing), len(failing[0].Name), len(failing[0].Message))
	}
}

type recorder struct{ *strings.Builder }

func (recorder) End(string) {}

// What a node writes in pieces is taken line by line; marks and reports are not shown.
func TestNodeOutput(t *testing.T) {
	var shownText strings.Builder
	to := show(recorder{&shownText}, nil)
	o := &nodeOut{to: to, mark: "abc ", prefix: "[1] "}
	text := "abc setup\nhel" + "lo\r\n\nabc test\nok 1\n" + strings.Repeat("z", maxLine+5) + "\nabc report\n<testsuite><testcase name='" + strings.Repeat("n", 2*maxLine) + "'><failure/></testcase></testsuite>\nabc end\nlast"
	for i := 0; i < len(text); i += 7 {
		if _, err := o.Write([]byte(text[i:min(len(text), i+7)])); err != nil {
			t.Fatal(err)
		}
	}
	o.flush()
	want := "[1] hello\n[1] \n[1] ok 1\n[1] " + strings.Repeat("z", maxLine) + "\n[1] zzzzz\n[1] last\n"
	if shownText.String() != want || o.at() != "test" {
		t.Errorf("got %q at %s", shownText.String(), o.at())
	}
	if _, failed, _, failing := o.tests.result(func(s string) string { return s }); failed != 1 || len(failing[0].Name) != 300 {
		t.Errorf("of the report: %d, %+v", failed, failing)
	}
}
