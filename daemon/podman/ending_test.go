package podman_test

import (
	"errors"
	"testing"

	"towline/daemon/podman"
)

// TestEnding: a container that is ending just now can be removed in a moment.
func TestEnding(t *testing.T) {
	for text, want := range map[string]bool{
		"cannot remove container f5be as it could not be stopped: sending SIGKILL to container f5be: container state improper: stopped": true,
		"unmounting: device or resource busy":     true,
		"container f5be has dependent containers": false,
		"permission denied":                       false,
	} {
		if got := podman.Ending(errors.New(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
