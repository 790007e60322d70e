package config

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseSize reads a number of bytes with an optional binary unit: "512m", "2g", "1024".
func ParseSize(s string) (int64, error) {
	number := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s)), "b")
	shift := 0
	if i := strings.IndexAny(number, "kmgt"); i == len(number)-1 && i > 0 {
		shift = 10 * (1 + strings.IndexByte("kmgt", number[i]))
		number = number[:i]
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)>>shift {
		return 0, fmt.Errorf("%q is not a size: write it like 512m or 2g", s)
	}
	return n << shift, nil
}
