package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/e2e/stack"
)

// container is the one that runs of those whose names begin so.
func container(t *testing.T, s *stack.Stack, kind string) string {
	t.Helper()
	out, err := stack.Listing("ps", "--filter", "label=towline="+s.Name, "--filter", "name="+s.Name+"-"+kind, "--format", "{{.Names}}")
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
	return name
}

// allow sets the memory limit of a running container, until it is started anew.
func allow(name, memory string) error {
	_, err := stack.Podman("update", "--memory", memory, "--memory-swap", memory, name)
	return err
}

// TestOutOfMemory: the kernel kills a service that outgrows its memory during a backup,
// and a throwaway container that does. The one is running again before the backup has
// ended, the other's backup is failed; nothing acknowledged is lost.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	db := newDatabase(t, s, "narrow", "redis")
	if err := db.Add(1); err != nil {
		t.Fatal(err)
	}
	if err := db.Fill(40); err != nil {
		t.Fatal(err)
	}
	whileCapturing := func(t *testing.T, f func()) stack.Result {
		t.Helper()
		done := make(chan stack.Result)
		go func() { done <- s.SSH(t.Context(), stack.Admin, nil, "backups:capture redis-narrow") }()
		f()
		return <-done
	}
	ended := func(t *testing.T, r stack.Result, status string) {
		t.Helper()
		if b := backupsOf(t, s, "redis-narrow")[0]; b.Status != status || (r.Code == 0) != (status == "good") {
			t.Errorf("%+v after %s", b, r)
		}
		if _, count, err := db.Last(); err != nil || count < 81 {
			t.Errorf("the service has %d records, %v", count, err)
		}
		assertBackups(t, s, "redis-narrow")
	}
	t.Run("proof", func(t *testing.T) {
		done := make(chan stack.Result, 1)
		again := func() {
			done <- s.SSH(t.Context(), stack.Admin, nil, "backups:capture redis-narrow")
		}
		go again()
		var r stack.Result
		for tries := 0; r.Code == 0 && tries < 5; {
			select {
			case r = <-done:
				if tries++; r.Code == 0 { // it was faster than we are
					go again()
				}
			default:
				// The kernel takes the largest, which Redis is once it has loaded its data.
				if name := container(t, s, "proof"); name != "" && allow(name, "72m") == nil {
					_, _ = stack.Podman("exec", name, "tail", "/dev/zero")
				}
			}
		}
		ended(t, r, "failed")
		if !strings.Contains(r.Stderr, "out of memory") {
			t.Errorf("the cause is not told: %s", r)
		}
	})
	t.Run("service", func(t *testing.T) {
		name := container(t, s, "addon")
		began := func() string {
			out, err := stack.Podman("inspect", name, "--format", "{{.State.StartedAt}}")
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		before := began()
		if err := allow(name, "72m"); err != nil {
			t.Fatal(err)
		}
		r := whileCapturing(t, func() {
			eventually(t, func() string {
				if container(t, s, "proof") == "" {
					return "there is no proof"
				}
				return ""
			})
			if err := db.Fill(100); err == nil {
				t.Error("the service has room for twice its limit")
			}
			db.Close()
			eventually(t, func() string {
				if began() == before {
					return "the service is not started again"
				}
				if _, _, err := db.Last(); err != nil {
					return err.Error()
				}
				return ""
			})
		})
		ended(t, r, "good")
	})
	if b := capture(t, s, "redis-narrow"); b.Status != "good" {
		t.Errorf("afterwards: %+v", b)
	}
}

// balky is Redis with a probe that can be made to fail for ever: in a throwaway
// container, which has no network, and where there is one.
const balky = `
name = "balky"
title = "Redis that does not come up"
default_version = "7"
default_plan = "small"
command = ["redis-server", "/etc/towline/redis.conf"]
[[versions]]
name = "7"
image = "docker.io/library/redis:7"
[[plans]]
name = "small"
memory = "128m"
[[volumes]]
name = "data"
path = "/data"
[[ports]]
name = "redis"
port = 6379
[[secrets]]
name = "password"
[[files]]
path = "/etc/towline/redis.conf"
content = """
dir /data
appendonly yes
requirepass {{.Secret.password}}
user rediscloud on >{{.Secret.password}} ~* &* +@all
"""
[probe]
command = ["sh", "-c", "if grep -q eth0 /proc/net/dev; then test ! -e /data/hang-live; else test ! -e /data/hang-proof; fi && redis-cli ping | grep -q PONG"]
env = { REDISCLI_AUTH = "{{.Secret.password}}" }
interval = "50ms"
deadline = "20s"
[[vars]]
name = "REDISCLOUD_URL"
value = "redis://rediscloud:{{.Secret.password}}@{{.Host}}:{{.Port.redis}}"
suffix = "URL"
[verify]
command = ["sh", "-c", "echo keys $(redis-cli dbsize)"]
env = { REDISCLI_AUTH = "{{.Secret.password}}" }
`

func installPlugin(t *testing.T, s *stack.Stack, name, manifest string) {
	t.Helper()
	dir := filepath.Join(s.Dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plugin.toml"), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	admin(t, s, "plugins:install "+dir)
}

// TestProbeNeverComes: a copy that never answers makes the backup failed; restored data
// on which the service never answers goes, and that of before comes back.
func TestProbeNeverComes(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	installPlugin(t, s, "balky", balky)
	app := newApp(t, s, "hang")
	app.deploy(usual("one"))
	admin(t, s, "addons:create balky -a hang")
	db := openDatabase(t, s, "hang", "redis", "balky-hang")
	mark := func(command string) {
		t.Helper()
		if _, err := stack.Podman("exec", container(t, s, "addon"), "sh", "-c", command); err != nil {
			t.Fatal(err)
		}
	}
	runs := func(want int64) {
		t.Helper()
		if last, _, err := db.Last(); err != nil || last != want {
			t.Errorf("the service has %d, %v", last, err)
		}
		if v, reason := version(t, s, "hang"); v != "one" {
			t.Errorf("version %q serves: %s", v, reason)
		}
		assertBackups(t, s, "balky-hang")
	}
	if err := db.Add(1); err != nil {
		t.Fatal(err)
	}
	mark("touch /data/hang-live")
	b := capture(t, s, "balky-hang")
	mark("rm /data/hang-live; touch /data/hang-proof")
	if r := s.SSH(t.Context(), stack.Admin, nil, "backups:capture balky-hang"); r.Code != 1 || !strings.Contains(r.Stderr, "did not answer within 20s") {
		t.Errorf("no proof: %s", r)
	}
	if list := backupsOf(t, s, "balky-hang"); list[0].Status != "failed" {
		t.Errorf("listed as %+v", list[0])
	}
	mark("rm /data/hang-proof")
	if err := db.Add(2); err != nil {
		t.Fatal(err)
	}
	runs(2)

	load, err := s.StartLoad("hang", "/", 1)
	if err != nil {
		t.Fatal(err)
	}
	r := s.SSH(t.Context(), stack.Admin, nil, "backups:restore "+b.ID+" --confirm balky-hang")
	report := load.Stop()
	if r.Code != 1 || !strings.Contains(r.Stderr, "did not answer within 20s") {
		t.Errorf("restore: %s", r)
	}
	if report.Failed > 0 || report.Slowest < 3*time.Second {
		t.Errorf("requests did not wait for the data of before: %+v", report)
	}
	runs(2)
	if r := s.SSH(t.Context(), stack.Admin, nil, "addons:restart balky-hang"); r.Code != 0 {
		t.Errorf("restart: %s", r)
	}
	runs(2)
}

// TestCrashInDeletion kills towlined at every recorded step of the deletion of a backup.
func TestCrashInDeletion(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{Faults: true})
	newDatabase(t, s, "gone", "redis")
	remove := func(b backup) stack.Result {
		return s.SSH(t.Context(), stack.Admin, nil, fmt.Sprintf("backups:delete %[1]s --confirm %[1]s", b.ID))
	}
	first := capture(t, s, "redis-gone")
	points := steps(t, s, func() {
		if r := remove(first); r.Code != 0 {
			t.Fatal(r)
		}
	})
	if len(points) < 2 {
		t.Fatalf("a deletion records %v", points)
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			b := capture(t, s, "redis-gone")
			crash(t, s, point, func() { remove(b) }, func() {})
			if list := backupsOf(t, s, "redis-gone"); len(list) > 0 {
				t.Errorf("listed: %+v", list)
			}
			assertBackups(t, s, "redis-gone")
		})
	}
}
