package container

import (
	"bytes"
	"strings"
	"testing"
)

func TestLogEndIsBounded(t *testing.T) {
	block := bytes.Repeat([]byte("x"), 64<<10)
	var end LogEnd
	for range 32 {
		_, _ = end.Write(block)
	}
	_, _ = end.Write([]byte("\nlast but one\nlast\n"))
	if len(end.kept) > 2*maxLogEnd+len(block) {
		t.Errorf("%d bytes are kept of a log", len(end.kept))
	}
	if got := strings.Join(end.Lines(2), "|"); got != "last but one|last" {
		t.Errorf("%q", got)
	}
	if got := new(LogEnd).Lines(3); got != nil {
		t.Errorf("of nothing: %q", got)
	}
}
