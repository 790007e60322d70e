package proxy_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
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

// Nothing is kept of names that are not served: a member may make and destroy as many apps
// as they like, one after the other.
func TestNothingIsKeptOfNamesThatAreNotServed(t *testing.T) {
	s := start(t)
	a := addr(app(t, says("ok")))
	for i := range 10 {
		sv := service(fmt.Sprint("made", i), a, fmt.Sprintf("made%d.localhost", i))
		s.deploy(sv)
		s.get("https://" + sv.Hosts[0] + "/")
		for range 2 { // the second finds nothing
			if err := s.Remove(t.Context(), sv.Name); err != nil {
				t.Fatal(err)
			}
			if err := s.Drain(t.Context(), sv.Name, 0); err != nil {
				t.Fatal(err)
			}
		}
		sv.Health.Path, sv.Health.Status, sv.Health.Deadline = "/", []int{500}, 10*time.Millisecond
		if err := s.Deploy(t.Context(), sv); err == nil {
			t.Fatal("it was deployed")
		}
		if err := s.Pause(t.Context(), sv.Name, time.Second); err == nil {
			t.Error("it can be paused")
		}
	}
	if names := s.Names(); len(names) > 0 {
		t.Errorf("%q", names)
	}
}

// A name is kept while it is drained, and as long as a call waits for its turn.
func TestRemovedServiceIsKeptWhileItDrains(t *testing.T) {
	s := start(t)
	a, target := newThinking(t)
	s.deploy(patientShop(target))
	answers := make(chan answer)
	go func() { answers <- s.get(shopURL + "slow") }()
	<-a.entered
	if err := s.Remove(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	s.deploy(patientShop(addr(app(t, says("new")))))
	if got := s.get(shopURL); got.body != "new" {
		t.Errorf("%+v", got)
	}
	close(a.release)
	if got := <-answers; got.body != "done" {
		t.Errorf("%+v", got)
	}
	if err := s.Drain(t.Context(), "shop", time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := s.get(shopURL); got.body != "new" {
		t.Errorf("%+v", got)
	}
}
