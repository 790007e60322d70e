package main

import (
	"slices"
	"strings"
	"testing"
)

func TestPortOfThisMachine(t *testing.T) {
	for line, want := range map[string]struct {
		port int
		rest string
	}{
		"addons:forward redis":                           {-1, "addons:forward redis"},
		"addons:forward redis --port 0":                  {0, "addons:forward redis"},
		"addons:forward --port=7000 redis --port-name x": {7000, "addons:forward redis --port-name x"},
	} {
		port, rest, err := ownPort(strings.Fields(line))
		if err != nil || port != want.port || !slices.Equal(rest, strings.Fields(want.rest)) {
			t.Errorf("%s: %d %q %v", line, port, rest, err)
		}
	}
	for _, line := range []string{"--port", "--port x", "--port 65536", "--port -1", "--port="} {
		if port, _, err := ownPort(strings.Fields(line)); err == nil {
			t.Errorf("%s: %d", line, port)
		}
	}
}

func TestWhatIsForwardedHere(t *testing.T) {
	for line, want := range map[string]bool{
		"addons:forward redis":         true,
		"addons forward redis":         true,
		"addons:forward redis --stdio": false,
		"addons:forward --help":        false,
		"addons:open redis":            false,
	} {
		if got := (invocation{words: strings.Fields(line)}).forwards(); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}
