package daemon

import (
	"bytes"
	"strings"
	"testing"
)

func TestOutputThatNeverEndsIsBounded(t *testing.T) {
	var shown bytes.Buffer
	w := newIndent(&shown)
	block := bytes.Repeat([]byte("x"), 64<<10)
	for range 32 {
		_, _ = w.Write(block)
	}
	if len(w.part) > maxShownLine {
		t.Errorf("%d bytes are kept of a line without an end", len(w.part))
	}
	if n := len(w.String()); n > maxRecordedOutput+len(block) {
		t.Errorf("%d bytes are recorded", n)
	}
	w.Flush()
	if got := strings.Count(shown.String(), "x"); got != 32*len(block) {
		t.Errorf("%d of %d bytes are shown", got, 32*len(block))
	}

	var end logEnd
	for range 32 {
		_, _ = end.Write(block)
	}
	_, _ = end.Write([]byte("\nlast but one\nlast\n"))
	if len(end.kept) > 2*maxLogEnd+len(block) {
		t.Errorf("%d bytes are kept of a log", len(end.kept))
	}
	if got := strings.Join(end.lines(2), "|"); got != "last but one|last" {
		t.Errorf("%q", got)
	}
	if got := new(logEnd).lines(3); got != nil {
		t.Errorf("of nothing: %q", got)
	}
}
