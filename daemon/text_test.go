package daemon

import (
	"strings"
	"testing"
)

func TestClip(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		"shöp":                          "shöp",
		"\x1b[2Ja\nremote: b\u202e\xff": "?[2Ja?remote: b??",
		strings.Repeat("é", 40):         strings.Repeat("é", 30) + "...",
		"x" + strings.Repeat("é", 40):   "x" + strings.Repeat("é", 29) + "...",
	} {
		if got := Clip(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
