package work

import (
	"bytes"
	"strings"
	"testing"
)

func TestOutputThatNeverEndsIsBounded(t *testing.T) {
	var shown bytes.Buffer
	w := NewIndent(&shown)
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
}
