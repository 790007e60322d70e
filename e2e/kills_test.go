package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"towline/e2e/stack"
)

// TestRandomKills kills towlined, towline-proxy or Podman's service, as kill -9 does, at a
// random moment of a change, TOWLINE_KILLS times. Each time the change ends, the journal
// becomes empty, the outcome is the old or the new, and the new where that was said; what
// Redis acknowledged is there, and nothing in Podman belongs to nothing. TOWLINE_SEED chooses
// the changes, the victims and the moments, as parts of what a change takes.
func TestRandomKills(t *testing.T) {
	t.Parallel()
	n := setting(t, "TOWLINE_KILLS", 4)
	seed := setting(t, "TOWLINE_SEED", 1)
	t.Logf("TOWLINE_SEED=%d TOWLINE_KILLS=%d", seed, n)
	k := newKills(t, uint64(seed))
	for i := range n {
		k.round(i)
		if t.Failed() {
			t.Fatalf("round %d of %d, seed %d", i, n, seed)
		}
	}
	t.Logf("%d kills: %v; %d changes were acknowledged, %d said that they failed; %d acknowledged writes, none lost", n, k.victims, k.acked, k.failed, k.written)
}

func setting(t *testing.T, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// kills is the state of a run: what is so, as far as was said.
type kills struct {
	t       *testing.T
	s       *stack.Stack
	rng     *rand.Rand
	app     *checkout
	socket  string // of a service of Podman's that is this test's alone
	service *exec.Cmd

	version, value string
	workers        int
	backup         string // of redis-scratch, whose key "what" is "base" in it

	took                   map[string]time.Duration // by change, the last whole one
	victims                map[string]int
	acked, failed, written int
}

// change is one kind of change, and what it comes to.
type change struct {
	name string
	do   func() stack.Result
	// check looks at the outcome; acked: it was said to have worked.
	check func(acked bool)
}

func newKills(t *testing.T, seed uint64) *kills {
	k := &kills{t: t, rng: rand.New(rand.NewPCG(seed, 0)), socket: filepath.Join(t.TempDir(), "podman.sock"),
		took: map[string]time.Duration{}, victims: map[string]int{}, version: "first"}
	k.startService()
	t.Cleanup(func() { _ = k.service.Process.Kill(); _ = k.service.Wait() })
	k.s = ownStack(t, stack.Options{Podman: k.socket})
	k.app = newApp(t, k.s, "crash")
	k.app.deploy(usual("first"))
	admin(t, k.s, "addons:create redis -a crash")
	admin(t, k.s, "addons:create redis -a crash --name redis-scratch --as SCRATCH")
	k.scratch(func(ctx context.Context, c *redis.Client) error { return c.Set(ctx, "what", "base", 0).Err() })
	admin(t, k.s, "backups:capture redis-scratch")
	k.backup = decode[[]struct {
		ID string `json:"id"`
	}](t, k.s, "backups", "redis-scratch")[0].ID
	return k
}

// startService starts Podman's service and waits until it listens.
func (k *kills) startService() {
	k.t.Helper()
	_ = os.Remove(k.socket)
	k.service = exec.Command("podman", "system", "service", "--time=0", "unix://"+k.socket)
	k.service.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := k.service.Start(); err != nil {
		k.t.Fatal(err)
	}
	within(k.t, time.Minute, func() string {
		c, err := net.Dial("unix", k.socket)
		if err != nil {
			return err.Error()
		}
		c.Close()
		return ""
	})
}

func (k *kills) ssh(line string) stack.Result {
	ctx, cancel := context.WithTimeout(k.t.Context(), 5*time.Minute)
	defer cancel()
	r := k.s.SSH(ctx, stack.Admin, nil, line)
	if ctx.Err() != nil {
		k.t.Errorf("%s hangs: %s", line, r)
	}
	return r
}

// pick is the next change.
func (k *kills) pick(i int) change {
	next := fmt.Sprintf("%d", i)
	changes := []func() change{
		func() change {
			k.app.commit(usual("v" + next))
			return change{"push", func() stack.Result { return k.app.push() }, func(acked bool) { k.versionIs("v"+next, acked) }}
		},
		func() change {
			return change{"config", func() stack.Result { return k.ssh("config:set -a crash BENCH=" + next) }, func(acked bool) { k.valueIs(next, acked) }}
		},
		func() change {
			n := 1 + (k.workers+k.rng.IntN(2))%3
			return change{"scale", func() stack.Result { return k.ssh(fmt.Sprintf("ps:scale -a crash worker=%d", n)) }, func(acked bool) { k.workersAre(n, acked) }}
		},
		func() change {
			return change{"restart", func() stack.Result { return k.ssh("ps:restart -a crash") }, func(bool) {}}
		},
		func() change {
			// To the deploy before: its version, and its config.
			return change{"rollback", func() stack.Result { return k.ssh("releases:rollback -a crash") }, func(bool) { k.look() }}
		},
		func() change {
			return change{"run", func() stack.Result { return k.ssh("run -a crash 'sleep 1; echo done'") }, func(bool) {}}
		},
		func() change {
			return change{"provision", func() stack.Result { return k.ssh("addons:create redis -a crash --name redis-extra --as EXTRA") }, func(acked bool) {
				there := strings.Contains(admin(k.t, k.s, "addons -a crash"), "redis-extra")
				if acked && !there {
					k.t.Error("the add-on is not there")
				}
				if there {
					admin(k.t, k.s, "addons:destroy redis-extra --confirm redis-extra")
				}
			}}
		},
		func() change {
			return change{"rotate", func() stack.Result { return k.ssh("addons:rotate redis-crash") }, func(bool) {}}
		},
		func() change {
			return change{"capture", func() stack.Result { return k.ssh("backups:capture redis-crash") }, func(bool) {
				for _, b := range decode[[]struct {
					ID     string `json:"id"`
					Status string `json:"status"`
				}](k.t, k.s, "backups", "redis-crash") {
					if b.Status != "good" && b.Status != "failed" {
						k.t.Errorf("backup %s is %s", b.ID, b.Status)
					}
				}
			}}
		},
		func() change {
			now := "now-" + next
			k.scratch(func(ctx context.Context, c *redis.Client) error { return c.Set(ctx, "what", now, 0).Err() })
			return change{"restore", func() stack.Result { return k.ssh("backups:restore " + k.backup + " --confirm redis-scratch") }, func(acked bool) {
				k.scratch(func(ctx context.Context, c *redis.Client) error {
					got, err := c.Get(ctx, "what").Result()
					if got != "base" && (acked || got != now) {
						k.t.Errorf("acknowledged %v, and the data is %q", acked, got)
					}
					return err
				})
			}}
		},
	}
	return changes[k.rng.IntN(len(changes))]()
}

// round is one change with a kill in it.
func (k *kills) round(i int) {
	t := k.t
	c := k.pick(i)
	victim := []string{"towlined", "towline-proxy", "podman"}[k.rng.IntN(3)]
	usual, known := k.took[c.name]
	if !known {
		usual = 3 * time.Second
	}
	moment := time.Duration(k.rng.Float64() * 1.1 * float64(usual))
	client, ctx := k.redis(), t.Context() // before a capture pauses the container, when Podman does not list it
	begun := time.Now()
	done := make(chan stack.Result, 1)
	go func() { done <- c.do() }()
	stop, wrote := make(chan struct{}), make(chan int, 1)
	from := k.written
	go func() {
		n := from
		defer func() { client.Close(); wrote <- n }()
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			if client.Set(ctx, "w:"+strconv.Itoa(n), n, 0).Err() == nil {
				n++
			}
		}
	}()
	time.Sleep(moment) // the random moment
	k.kill(victim)
	k.victims[victim]++
	r := <-done
	close(stop)
	k.written = <-wrote
	t.Logf("%d: %s of %s after %s of %s, exit code %d after %s, %d writes", i, c.name, victim, moment.Round(time.Millisecond),
		usual.Round(time.Millisecond), r.Code, time.Since(begun).Round(time.Millisecond), k.written-from)
	acked := r.Code == 0
	if acked {
		k.acked++
		k.took[c.name] = min(time.Since(begun), 20*time.Second)
	} else {
		k.failed++
		t.Logf("said: %s", lastLines(r.Stderr, 3))
	}
	settled(t, k.s)
	k.ready()
	c.check(acked)
	k.consistent()
}

// kill ends the victim and starts it again, after a moment without it.
func (k *kills) kill(victim string) {
	away := time.Duration(k.rng.IntN(500)) * time.Millisecond
	var err error
	switch victim {
	case "towlined":
		err = k.s.Kill9Daemon()
	case "towline-proxy":
		err = k.s.Kill9Proxy()
	default:
		err = k.service.Process.Kill()
		_ = k.service.Wait()
	}
	if err != nil {
		k.t.Fatal(err)
	}
	time.Sleep(away) // how long it is away
	switch victim {
	case "towlined":
		startDaemon(k.t, k.s)
	case "towline-proxy":
		err = k.s.StartProxy()
	default:
		k.startService()
	}
	if err != nil {
		k.t.Fatal(err)
	}
}

// ready waits until the app answers and the daemon takes a command of it.
func (k *kills) ready() {
	k.t.Helper()
	within(k.t, 2*time.Minute, func() string {
		if _, reason := version(k.t, k.s, "crash"); reason != "" {
			return reason
		}
		if r := k.s.Host(k.t.Context(), nil, "ps", "-a", "crash"); r.Code != 0 {
			return r.String()
		}
		return ""
	})
}

func (k *kills) versionIs(want string, acked bool) {
	k.t.Helper()
	got, _ := version(k.t, k.s, "crash")
	if got != want && (acked || got != k.version) {
		k.t.Errorf("acknowledged %v: version %q serves, neither %q nor %q", acked, got, want, k.version)
	}
	k.version = got
}

func (k *kills) served() string {
	k.t.Helper()
	status, body, err := k.s.Get(k.t.Context(), "crash", "/env/BENCH")
	if err != nil {
		k.t.Error(err)
	}
	if status == http.StatusNotFound {
		return "" // no such variable
	}
	return strings.TrimSpace(body)
}

func (k *kills) valueIs(want string, acked bool) {
	k.t.Helper()
	got := k.served()
	if got != want && (acked || got != k.value) {
		k.t.Errorf("acknowledged %v: the config is %q, neither %q nor %q", acked, got, want, k.value)
	}
	k.value = got
}

func (k *kills) workersAre(want int, acked bool) {
	k.t.Helper()
	got := appInfo(k.t, k.s, "crash").Formation["worker"]
	if got != want && (acked || got != k.workers) {
		k.t.Errorf("acknowledged %v: %d workers, neither %d nor %d", acked, got, want, k.workers)
	}
	k.workers = got
}

// look takes what is so for what should be.
func (k *kills) look() {
	k.version, _ = version(k.t, k.s, "crash")
	k.value = k.served()
	k.workers = appInfo(k.t, k.s, "crash").Formation["worker"]
}

// consistent: what serves is what is recorded, every write is there, and nothing else is.
func (k *kills) consistent() {
	t := k.t
	t.Helper()
	config := appConfig(t, k.s, "crash")
	for _, name := range []string{"REDISCLOUD_URL", "SCRATCH_URL"} {
		if _, body, err := k.s.Get(t.Context(), "crash", "/env/"+name); err != nil || config[name] == "" || strings.TrimSpace(body) != config[name] {
			t.Errorf("the app has %s=%q, the config %q: %v", name, body, config[name], err)
		}
	}
	if got := k.served(); got != config["BENCH"] {
		t.Errorf("the app has BENCH=%q, the config %q", got, config["BENCH"])
	}
	client := k.redis()
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("log in: %v", err)
	}
	lost := 0
	for part := range slices.Chunk(numbers(k.written), 1000) {
		n, err := client.Exists(t.Context(), part...).Result()
		if err != nil {
			t.Fatal(err)
		}
		lost += len(part) - int(n)
	}
	if lost > 0 {
		t.Errorf("%d acknowledged writes of %d are lost", lost, k.written)
	}
	settled(t, k.s)
	assertApp(t, k.s, "crash", k.version)
}

func numbers(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "w:" + strconv.Itoa(i)
	}
	return keys
}

// redis is a client of the add-on that is written to, by what the config says.
func (k *kills) redis() *redis.Client { return k.login("redis-crash", "REDISCLOUD_URL") }

func (k *kills) login(addon, name string) *redis.Client {
	k.t.Helper()
	options, err := redis.ParseURL(fromHere(k.t, k.s, addon, appConfig(k.t, k.s, "crash")[name]))
	if err != nil {
		k.t.Fatal(err)
	}
	return redis.NewClient(options)
}

func (k *kills) scratch(f func(context.Context, *redis.Client) error) {
	k.t.Helper()
	c := k.login("redis-scratch", "SCRATCH_URL")
	defer c.Close()
	if err := f(k.t.Context(), c); err != nil {
		k.t.Error(err)
	}
}
