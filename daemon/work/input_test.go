package work

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestInputThatStopsIsGivenUp(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	if _, err := io.ReadAll(NewInput(r, 10*time.Millisecond)); err == nil || !strings.Contains(err.Error(), "nothing came for") {
		t.Errorf("got %v", err)
	}
	if text, err := io.ReadAll(NewInput(strings.NewReader("whole"), 0)); err != nil || string(text) != "whole" {
		t.Errorf("got %q, %v", text, err)
	}
}
