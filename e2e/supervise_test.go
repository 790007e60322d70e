package e2e

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"towline/e2e/stack"
)

// podmanSocket is where the machine's Podman listens.
const podmanSocket = "/run/podman/podman.sock"

// relay is a way to a socket that can go away, as in an upgrade.
type relay struct {
	path     string
	to       string // the socket itself
	trip     string // it goes away instead of passing on a request with this in it, once
	answered bool   // instead, it goes away when that is answered
	armed    bool
	tripped  chan struct{} // closed then
	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

func (r *relay) start(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.listener = listener
	r.mu.Unlock()
	go func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("unix", r.to)
			if err != nil {
				here.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, here, there)
			r.mu.Unlock()
			// The end of either direction is passed on alone.
			go func() { _, _ = io.Copy(there, r.watch(here, false)); _ = there.(*net.UnixConn).CloseWrite() }()
			go func() { _, _ = io.Copy(here, r.watch(there, true)); _ = here.(*net.UnixConn).CloseWrite() }()
		}
	}()
}

// watch is the reading end of a connection, which notices what trips.
func (r *relay) watch(c net.Conn, answers bool) io.Reader {
	return readFunc(func(b []byte) (int, error) {
		n, err := c.Read(b)
		r.mu.Lock()
		here := r.trip != "" && !answers && strings.Contains(string(b[:n]), r.trip)
		if here && r.answered {
			r.armed, here = true, false
		}
		now := here || answers && r.armed && n > 0
		if now {
			r.trip, r.armed = "", false
		}
		r.mu.Unlock()
		if now {
			r.stop()
			close(r.tripped)
			return 0, net.ErrClosed
		}
		return n, err
	})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

func (r *relay) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listener.Close()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

// running lists the stack's containers that run, by name.
func running(t *testing.T, s *stack.Stack) []string {
	t.Helper()
	out, err := stack.Listing("ps", "--filter", "label=towline="+s.Name, "--format", "{{.Names}}")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(out)
}

// TestDeathsThatNobodyTold: what dies while Podman's service is away is restarted once
// that is back.
func TestDeathsThatNobodyTold(t *testing.T) {
	t.Parallel()
	r := &relay{path: filepath.Join(t.TempDir(), "podman.sock"), to: podmanSocket}
	r.start(t)
	s := ownStack(t, stack.Options{Podman: r.path})
	t.Cleanup(r.stop)
	app := newApp(t, s, "shop")
	app.deploy(usual("one"))
	admin(t, s, "addons:create redis -a shop")
	admin(t, s, "ps:scale -a shop worker=1")
	var before []string
	eventually(t, func() string { // those of earlier releases are going
		if before = running(t, s); len(before) != 3 {
			return fmt.Sprintf("%q run", before)
		}
		return ""
	})
	r.stop()
	if _, err := stack.Podman(append([]string{"kill"}, before...)...); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	eventually(t, func() string {
		if now := running(t, s); len(now) != len(before) {
			return fmt.Sprintf("%q run, of %q", now, before)
		}
		_, reason := version(t, s, "shop")
		return reason
	})
}

// TestStartIsTriedAgain: what cannot start when the daemon does is started as soon as it
// can, and nobody has to ask.
func TestStartIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	app := newApp(t, s, "shop")
	app.deploy(usual("one"))
	o, err := s.Objects()
	if err != nil || len(o.Images) != 1 || len(o.Containers) != 1 {
		t.Fatal(err, o)
	}
	if err := s.StopDaemon(); err != nil {
		t.Fatal(err)
	}
	id, err := stack.Podman("image", "inspect", "--format", "{{.Id}}", o.Images[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"rm", "-f", "-t", "0", o.Containers[0]}, {"untag", o.Images[0]}} {
		if _, err := stack.Podman(args...); err != nil {
			t.Fatal(err)
		}
	}
	startDaemon(t, s)
	eventually(t, func() string {
		if log := admin(t, s, "logs -a shop --source system"); !strings.Contains(log, "trying again in") {
			return "the app's log does not tell: " + log
		}
		return ""
	})
	if v, _ := version(t, s, "shop"); v != "" {
		t.Errorf("version %q serves without its image", v)
	}
	if _, err := stack.Podman("tag", strings.TrimSpace(id), o.Images[0]); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		_, reason := version(t, s, "shop")
		return reason
	})
}

// TestSlowRestart: a process that died, and takes longer to come back than it may take in
// a deploy, gets its requests once it does, wherever it is then.
func TestSlowRestart(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 66 s of waiting")
	}
	s := ownStack(t, stack.Options{})
	app := newApp(t, s, "shop")
	files := usual("one")
	files["Procfile"] = "web: if test -e /tmp/again; then sleep 66; fi; touch /tmp/again; exec testapp\n"
	app.deploy(files)
	o, err := s.Objects()
	if err != nil || len(o.Containers) != 1 {
		t.Fatal(err, o)
	}
	address := func() string {
		out, err := stack.Podman("inspect", o.Containers[0], "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	before := address()
	if _, err := stack.Podman("kill", o.Containers[0]); err != nil {
		t.Fatal(err)
	}
	within(t, 2*time.Minute, func() string {
		_, reason := version(t, s, "shop")
		return reason
	})
	if now := address(); now == before {
		t.Errorf("it is at %s as before: this shows nothing", now)
	}
}

// TestOldProcessesGo: those of the release before end, whatever happens to the proxy that
// was about to drain them.
func TestOldProcessesGo(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	app := newApp(t, s, "shop")
	app.deploy(usual("one"))
	admin(t, s, "ps:scale -a shop worker=1")
	client, err := s.Client(false)
	if err != nil {
		t.Fatal(err)
	}
	client.Timeout = 0
	res, err := client.Get(s.URL("shop", "/stream?n=1000&ms=300")) // 5 min
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	app.deploy(usual("two"))
	if err := s.Kill9Proxy(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Error("the answer was complete before the proxy was killed: this shows nothing")
	}
	web := fmt.Sprintf("%s-shop.web.1.v2.", s.Name)
	if now := running(t, s); !slices.ContainsFunc(now, func(c string) bool { return strings.HasPrefix(c, web) }) {
		t.Errorf("only %q run: this shows nothing", now)
	}
	if err := s.StartProxy(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if now := running(t, s); len(now) != 2 || slices.ContainsFunc(now, func(c string) bool { return !strings.Contains(c, ".v3.") }) {
			return fmt.Sprintf("%q run", now)
		}
		return ""
	})
}

// TestThawIsInsistedOn: Podman's service goes away while a service is frozen. It goes on
// as soon as that is back, and the backup is good.
func TestThawIsInsistedOn(t *testing.T) {
	t.Parallel()
	r := &relay{path: filepath.Join(t.TempDir(), "podman.sock"), to: podmanSocket, trip: "/unpause", tripped: make(chan struct{})}
	r.start(t)
	s := ownStack(t, stack.Options{Podman: r.path})
	t.Cleanup(r.stop)
	admin(t, s, "apps:create shop")
	admin(t, s, "addons:create redis -a shop")
	captured := make(chan stack.Result, 1)
	go func() { captured <- s.SSH(t.Context(), stack.Admin, nil, "backups:capture redis-shop") }()
	select {
	case <-r.tripped:
	case result := <-captured:
		t.Fatalf("it never came to the thaw: %s", result)
	}
	out, err := stack.Listing("ps", "--filter", "label=towline="+s.Name, "--filter", "status=paused", "--format", "{{.Names}}")
	if err != nil || out == "" {
		t.Fatalf("nothing is frozen: %q, %v", out, err)
	}
	eventually(t, func() string {
		if log := s.DaemonLog(); !strings.Contains(log, "stands still") {
			return "nobody was told: " + log
		}
		return ""
	})
	r.start(t)
	if result := <-captured; result.Code != 0 {
		t.Errorf("backup: %s", result)
	}
	if now := running(t, s); len(now) != 1 {
		t.Errorf("%q run", now)
	}
}

// TestUndoIsInsistedOn: Podman's service goes away in the middle of a restore. Once it is
// back, the data of before is, too, and nothing is left of the attempt.
func TestUndoIsInsistedOn(t *testing.T) {
	t.Parallel()
	r := &relay{path: filepath.Join(t.TempDir(), "podman.sock"), to: podmanSocket, tripped: make(chan struct{})}
	r.start(t)
	s := ownStack(t, stack.Options{Podman: r.path})
	t.Cleanup(r.stop)
	admin(t, s, "apps:create shop")
	admin(t, s, "addons:create redis -a shop")
	before, err := s.Objects()
	if err != nil {
		t.Fatal(err)
	}
	id := decode[backup](t, s, "backups:capture", "redis-shop").ID
	r.mu.Lock()
	r.trip = "addon-redis-shop.2/start"
	r.mu.Unlock()
	restored := make(chan stack.Result, 1)
	go func() {
		restored <- s.SSH(t.Context(), stack.Admin, nil, "backups:restore "+id+" --confirm redis-shop")
	}()
	select {
	case <-r.tripped:
	case result := <-restored:
		t.Fatalf("it never came to the start: %s", result)
	}
	eventually(t, func() string {
		if log := s.DaemonLog(); !strings.Contains(log, "trying again") {
			return "nothing is taken back: " + log
		}
		return ""
	})
	r.start(t)
	if result := <-restored; result.Code == 0 {
		t.Errorf("the restore did not fail: %s", result)
	}
	after, err := s.Objects()
	if err != nil {
		t.Fatal(err)
	}
	if after.String() != before.String() {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
	if now := running(t, s); !slices.Equal(now, before.Containers) {
		t.Errorf("%q run, before %q", now, before.Containers)
	}
}

// TestSwitchThatNobodyTold: the proxy switches to a new release, and the word of that is
// lost. The push fails, and the old release serves, with requests running all the while.
func TestSwitchThatNobodyTold(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "control.sock")
	r := &relay{path: socket + ".relay", to: socket, answered: true, tripped: make(chan struct{})}
	r.start(t)
	t.Cleanup(r.stop)
	s := ownStack(t, stack.Options{Control: socket})
	app := newApp(t, s, "shop")
	app.deploy(usual("one"))
	before := running(t, s)
	load, err := s.StartLoad("shop", "/", 2)
	if err != nil {
		t.Fatal(err)
	}
	app.commit(usual("two"))
	r.mu.Lock()
	r.trip = "/v1/deploy"
	r.mu.Unlock()
	pushed := make(chan stack.Result, 1)
	go func() { pushed <- app.push() }()
	select {
	case <-r.tripped:
	case result := <-pushed:
		t.Fatalf("it never came to the switch: %s", result)
	}
	eventually(t, func() string {
		if v, reason := version(t, s, "shop"); v != "two" {
			return fmt.Sprintf("version %q serves: this shows nothing %s", v, reason)
		}
		return ""
	})
	r.start(t)
	if result := <-pushed; result.Code == 0 {
		t.Errorf("pushed: %s", result)
	}
	if v, reason := version(t, s, "shop"); v != "one" {
		t.Errorf("version %q serves: %s", v, reason)
	}
	if report := load.Stop(); report.Failed > 0 {
		t.Errorf("%d of %d requests failed: %q", report.Failed, report.Total, report.Failures)
	}
	if now := running(t, s); !slices.Equal(now, before) {
		t.Errorf("%q run, before %q", now, before)
	}
}

// TestWhatWasForOnceGoes: a one-off, and the throwaway of a backup's proof, that cannot be
// removed because Podman's service is away, are once it is back. What they were for has
// succeeded all the same.
func TestWhatWasForOnceGoes(t *testing.T) {
	t.Parallel()
	r := &relay{path: filepath.Join(t.TempDir(), "podman.sock"), to: podmanSocket}
	r.start(t)
	s := ownStack(t, stack.Options{Podman: r.path})
	t.Cleanup(r.stop)
	newApp(t, s, "shop").deploy(usual("one"))
	admin(t, s, "addons:create redis -a shop")
	for _, line := range []string{"run -a shop true", "backups:capture redis-shop"} {
		settled(t, s)
		before, err := s.Objects()
		if err != nil {
			t.Fatal(err)
		}
		told := strings.Count(s.DaemonLog(), "trying again")
		tripped := make(chan struct{})
		r.mu.Lock()
		r.trip, r.tripped = "DELETE ", tripped
		r.mu.Unlock()
		result := make(chan stack.Result, 1)
		go func() { result <- s.SSH(t.Context(), stack.Admin, nil, line) }()
		select {
		case <-tripped:
		case ended := <-result:
			t.Fatalf("%s: nothing was removed: %s", line, ended)
		}
		eventually(t, func() string {
			if log := s.DaemonLog(); strings.Count(log, "trying again") == told {
				return "nothing is taken back: " + log
			}
			return ""
		})
		r.start(t)
		if ended := <-result; ended.Code != 0 {
			t.Errorf("%s: %s", line, ended)
		}
		settled(t, s)
		if after, err := s.Objects(); err != nil || after.String() != before.String() {
			t.Errorf("%s: before: %s\nafter: %s, %v", line, before, after, err)
		}
	}
}
