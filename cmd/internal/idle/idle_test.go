package idle

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestReleaseProgram(t *testing.T) {
	before := fileMemory(t)
	ReleaseProgram()
	if after := fileMemory(t); after >= before {
		t.Errorf("%d KiB of files before, %d KiB after", before, after)
	}
}

// fileMemory is how much of this process's memory is pages of files, in KiB.
func fileMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
