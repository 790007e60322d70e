package podman_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/podman"
)

// storedAlone are the containers of this run that are in Podman's storage alone.
func storedAlone(t *testing.T) (names []string) {
	t.Helper()
	out, err := exec.Command("podman", "ps", "-a", "--external", "--format", "{{.Names}} {{.Status}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if name, stored := strings.CutSuffix(strings.TrimSpace(line), " Storage"); stored && strings.HasPrefix(name, run+"-half") {
			names = append(names, name)
		}
	}
	return names
}

// TestHalfMadeContainers: what a killed Podman leaves of a container that it was making is
// removed before the next listing, by the daemon that asked for it and, once it is old enough,
// by a later one; and a container of its name can be made.
func TestHalfMadeContainers(t *testing.T) {
	s, e := newService(t)
	root, err := exec.Command("podman", "info", "--format", "{{.Store.GraphRoot}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(strings.TrimSpace(string(root)), "overlay-containers", "containers.json")
	half := func() (name string) {
		t.Helper()
		for i := range 50 {
			name := fmt.Sprintf("%s-half-%d-%d", run, time.Now().UnixNano(), i)
			t.Cleanup(func() { _ = exec.Command("podman", "rm", "-f", "-i", "-t", "0", name).Run() })
			ended := make(chan error, 1)
			go func() { ended <- e.CreateContainer(t.Context(), daemon.ContainerSpec{Name: name, Image: testImage}) }()
			for since := time.Now(); time.Since(since) < time.Minute; {
				text, err := os.ReadFile(index)
				if err == nil && bytes.Contains(text, []byte(name)) {
					break
				}
			}
			s.kill()
			err := <-ended
			s.start()
			for since := time.Now(); time.Since(since) < time.Minute; time.Sleep(10 * time.Millisecond) {
				if _, err := e.Ping(t.Context()); err == nil {
					break
				}
			}
			if err != nil && len(storedAlone(t)) == 1 {
				return name
			}
		}
		t.Fatal("no killed Podman has left half a container")
		return ""
	}
	half()
	if _, err := e.ContainerList(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if left := storedAlone(t); len(left) > 0 {
		t.Errorf("%v are left", left)
	}

	again := half()
	err = e.CreateContainer(t.Context(), daemon.ContainerSpec{Name: again, Image: testImage})
	if daemon.IsKind(err, daemon.Exists) {
		if err = e.RemoveContainer(t.Context(), again); err == nil {
			err = e.CreateContainer(t.Context(), daemon.ContainerSpec{Name: again, Image: testImage})
		}
	}
	if err != nil {
		t.Errorf("a container of its name: %v", err)
	}
	if list, err := e.ContainerList(t.Context(), nil); err != nil || len(list) == 0 {
		t.Errorf("it is not kept: %v, %v", list, err)
	}
	if err := e.RemoveContainer(t.Context(), again); err != nil {
		t.Fatal(err)
	}

	// A later daemon can't know it from one that is being made, until it is old.
	name := half()
	later, err := podman.New(t.Context(), podman.Options{Address: "unix://" + s.path, Name: run})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := later.ContainerList(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if left := storedAlone(t); len(left) != 1 {
		t.Errorf("while it may be in the making, %v are there", left)
	}
	later.ForgetYoung()
	if _, err := later.ContainerList(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if left := storedAlone(t); len(left) > 0 {
		t.Errorf("of %s, %v are left", name, left)
	}
}
