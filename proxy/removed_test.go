package proxy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The log of a service that was removed is closed, for it may be deleted: one of the same
// name that comes later has a log of its own.
func TestLogOfARemovedService(t *testing.T) {
	s := start(t)
	a := addr(app(t, says("ok")))
	path := filepath.Join(s.options.AccessLog, "shop.log")
	logged := func(what string) {
		t.Helper()
		until(t, "the log line of "+what, func() bool {
			text, _ := os.ReadFile(path)
			return bytes.Contains(text, []byte(what))
		})
	}
	for _, round := range []string{"/one", "/two", "/three"} {
		s.deploy(shop(a))
		s.get(shopURL + round)
		logged(round)
		if err := s.Remove(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		if err := s.Drain(t.Context(), "shop", 0); err != nil {
			t.Fatal(err)
		}
		if open := descriptorsOf(t, path); open != 0 {
			t.Errorf("after %s and its removal %d descriptors of the log are open", round, open)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func descriptorsOf(t *testing.T, path string) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if to, _ := os.Readlink("/proc/self/fd/" + d.Name()); to == path || to == path+" (deleted)" {
			n++
		}
	}
	return n
}
