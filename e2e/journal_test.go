package e2e

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"towline/e2e/stack"
)

// guest is a container of nobody's in a network of the stack's, which then can't be
// removed. leave takes it away.
func guest(t *testing.T, network string) (leave func()) {
	t.Helper()
	out, err := stack.Podman("run", "--detach", "--network", network, "--entrypoint", "sleep", testImage, "1000")
	if err != nil {
		t.Fatal(err)
	}
	leave = func() {
		if _, err := stack.Podman("rm", "--force", "--time", "0", "--ignore", strings.TrimSpace(out)); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(leave)
	return leave
}

// TestNamesakes: what was left to do when something could not be destroyed is never done
// to what has its name later.
func TestNamesakes(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	app := newApp(t, s, "crash")
	app.deploy(usual("one"))
	admin(t, s, "addons:create redis -a crash")

	leave := guest(t, s.Name+"-addon-redis-crash")
	if r := s.SSH(t.Context(), stack.Admin, nil, "addons:destroy redis-crash --confirm redis-crash"); r.Code == 0 {
		t.Fatalf("its network has a guest: %s", r)
	}
	if r := s.SSH(t.Context(), stack.Admin, nil, "addons:restart redis-crash"); r.Code != 6 {
		t.Errorf("half destroyed, it is restarted: %s", r)
	}
	leave()
	admin(t, s, "addons:destroy redis-crash --confirm redis-crash")

	leave = guest(t, s.Name+"-crash")
	if r := s.SSH(t.Context(), stack.Admin, nil, "apps:destroy -a crash --confirm crash"); r.Code == 0 {
		t.Fatalf("its network has a guest: %s", r)
	}
	app.commit(usual("two"))
	if r := app.push(); r.Code == 0 || !strings.Contains(r.Stderr, "crash is being destroyed") {
		t.Errorf("half destroyed, it is deployed to: %s", r)
	}
	leave()
	admin(t, s, "apps:destroy -a crash --confirm crash")

	app = newApp(t, s, "crash")
	app.deploy(usual("three"))
	admin(t, s, "addons:create redis -a crash")
	withRedis(t, s, func(c *redis.Client) error { return c.Set(t.Context(), "kept", "yes", 0).Err() })
	restartDaemon(t, s)
	assertAddon(t, s, "three")
	withRedis(t, s, func(c *redis.Client) error { return c.Get(t.Context(), "kept").Err() })
}

// TestRotationIsTakenBack: Podman's service goes away when the service has new
// credentials, and while an app gets them. Once it is back both have those of before, and
// no others.
func TestRotationIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, at := range []*relay{{trip: "/exec/", answered: true}, {trip: "/containers/create"}} {
		t.Run(strings.ReplaceAll(at.trip, "/", " "), func(t *testing.T) {
			t.Parallel()
			rotationIsTakenBack(t, at)
		})
	}
}

func rotationIsTakenBack(t *testing.T, r *relay) {
	trip := r.trip
	r.path, r.to, r.trip, r.tripped = filepath.Join(t.TempDir(), "podman.sock"), podmanSocket, "", make(chan struct{})
	r.start(t)
	s := ownStack(t, stack.Options{Podman: r.path})
	t.Cleanup(r.stop)
	newApp(t, s, "crash").deploy(usual("one"))
	admin(t, s, "addons:create redis -a crash")
	before := appConfig(t, s, "crash")["REDISCLOUD_URL"]
	r.mu.Lock()
	r.trip = trip
	r.mu.Unlock()
	rotated := make(chan stack.Result, 1)
	go func() { rotated <- s.SSH(t.Context(), stack.Admin, nil, "addons:rotate redis-crash") }()
	select {
	case <-r.tripped:
	case result := <-rotated:
		t.Fatalf("it never came to the app: %s", result)
	}
	eventually(t, func() string {
		if log := s.DaemonLog(); !strings.Contains(log, "trying again") {
			return "nothing is tried again: " + log
		}
		return ""
	})
	r.start(t)
	if result := <-rotated; result.Code == 0 {
		t.Errorf("the rotation did not fail: %s", result)
	}
	settled(t, s)
	if after := appConfig(t, s, "crash")["REDISCLOUD_URL"]; after != before {
		t.Errorf("REDISCLOUD_URL was %s, is %s", before, after)
	}
	assertAddon(t, s, "one")
	out, err := exec.CommandContext(t.Context(), "podman", "exec", s.Name+"-addon-redis-crash.1", "sh", "-ec",
		`export REDISCLI_AUTH=$(sed -n 's/^user towline on >\([^ ]*\) .*/\1/p' /etc/towline/redis.conf); redis-cli --user towline --json ACL GETUSER rediscloud`).Output()
	var user struct{ Passwords []string }
	if err = errors.Join(err, json.Unmarshal(out, &user)); err != nil || len(user.Passwords) != 1 {
		t.Errorf("the service takes %d passwords: %v: %s", len(user.Passwords), err, out)
	}
}

// TestDestroyedWhileItIsAttached: an add-on that is to be destroyed, but has to wait for an
// app's deploy, is attached to another app meanwhile. It is detached from that too.
func TestDestroyedWhileItIsAttached(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	app := newApp(t, s, "first")
	files := usual("one")
	files["Procfile"] += "release: until test -e /tmp/go || test $TOWLINE_RELEASE != v3; do sleep 0.1; done\n"
	admin(t, s, "apps:create second")
	admin(t, s, "addons:create redis -a first --name store")
	app.commit(files)
	pushed, destroyed := make(chan stack.Result, 1), make(chan stack.Result, 1)
	go func() { pushed <- app.push() }()
	var release string
	within(t, time.Minute, func() string {
		if release = container(t, s, "first.release"); release == "" {
			return "there is no release phase"
		}
		return ""
	})
	go func() { destroyed <- s.SSH(t.Context(), stack.Admin, nil, "addons:destroy store --confirm store") }()
	time.Sleep(time.Second) // until it waits, which nothing tells
	admin(t, s, "addons:attach store -a second")
	_, _ = stack.Podman("exec", release, "touch", "/tmp/go") // it may have ended before this is answered
	for _, result := range []chan stack.Result{pushed, destroyed} {
		if r := <-result; r.Code != 0 {
			t.Error(r)
		}
	}
	for _, app := range []string{"first", "second"} {
		if config := appConfig(t, s, app); len(config) > 0 {
			t.Errorf("%s has %v", app, config)
		}
	}
}
