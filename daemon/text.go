package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Who names a member in logs; without one it is the operator on the host.
func Who(member string) string {
	if member == "" {
		return "the operator"
	}
	return member
}

// Clip keeps a hostile or mistaken value from filling the user's screen, and from steering it.
func Clip(s string) string {
	clipped := len(s) > 60
	if clipped {
		s = strings.ToValidUTF8(s[:60], "")
	}
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	if clipped {
		s += "..."
	}
	return s
}

// Printable is what others wrote without what a terminal might act upon.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}

// SortedKeys are the keys of m in order.
func SortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// BytesText is a number of bytes for people.
func BytesText(n int64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 10*1024 || unit == "GiB" {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n /= 1024
	}
	return ""
}
