package daemon

import (
	"fmt"
	"maps"
	"slices"
)

// Who names a member in logs; without one it is the operator on the host.
func Who(member string) string {
	if member == "" {
		return "the operator"
	}
	return member
}

// Clip keeps a hostile or mistaken value from filling the user's screen.
func Clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
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
