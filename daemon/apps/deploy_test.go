package apps

import (
	"strings"
	"testing"
)

func TestDeploysAreDescribed(t *testing.T) {
	for subject, want := range map[string]string{
		"":                       "Deploy 01234567",
		"Add the cart":           "Deploy 01234567: Add the cart",
		"\x1b[31mred\x07\u202e":  "Deploy 01234567: [31mred",
		strings.Repeat("é", 100): "Deploy 01234567: " + strings.Repeat("é", 57) + "...",
	} {
		if got := describeDeploy("0123456789abcdef0123456789abcdef01234567", subject); got != want {
			t.Errorf("%q: %q", subject, got)
		}
	}
}
