package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"towline/proxy"
	"towline/proxy/control"
)

func TestDeployThatIsNotReadyChangesNothing(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("old")))))
	failing := app(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	bad := shop(addr(failing))
	bad.Health = control.Health{Path: "/up", Deadline: 2 * time.Second}
	var notReady *control.NotReady
	if err := s.Deploy(context.Background(), bad); !errors.As(err, &notReady) || notReady.Reason != "GET /up answered 500" {
		t.Errorf("got %v", err)
	}
	gone := httptest.NewServer(says(""))
	gone.Close()
	bad = shop(addr(gone))
	bad.Health.Deadline = 2 * time.Second
	if err := s.Deploy(context.Background(), bad); !errors.As(err, &notReady) || !strings.Contains(notReady.Reason, "nothing accepts connections") {
		t.Errorf("got %v", err)
	}
	if got := s.get(shopURL); got.body != "old" {
		t.Errorf("serves %q", got.body)
	}
}

// TestProbesAreAsVisitors: an app that answers no other name than its own becomes ready.
func TestProbesAreAsVisitors(t *testing.T) {
	s := start(t)
	a := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "shop.localhost" || r.Header.Get("X-Forwarded-Proto") != "https" {
			w.WriteHeader(400)
		}
	})
	service := shop(addr(a))
	service.Health = control.Health{Path: "/up", Deadline: 2 * time.Second}
	s.deploy(service)
}

// TestProbesReadTheAnswer: one that does not hold what it must is none.
func TestProbesReadTheAnswer(t *testing.T) {
	s := start(t)
	a := app(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat(" ", 100<<10), "welcome")
	})
	service := shop(addr(a))
	service.Health = control.Health{Path: "/", Content: "welcome", Deadline: 2 * time.Second}
	s.deploy(service)
	service.Targets[0].ID, service.Health.Content, service.Health.Deadline = "web.2", "farewell", 300*time.Millisecond
	var notReady *control.NotReady
	if err := s.Deploy(aMinute(t), service); !errors.As(err, &notReady) || notReady.Reason != `the answer to GET / does not hold "farewell"` {
		t.Errorf("got %v", err)
	}
}

// TestProbesGiveUp: an app that knows the path of the probe for none of its own is not asked
// for a minute, four times a second.
func TestProbesGiveUp(t *testing.T) {
	t.Parallel()
	s := start(t)
	var probes atomic.Int32
	a := app(t, func(w http.ResponseWriter, r *http.Request) {
		probes.Add(1)
		w.WriteHeader(404)
	})
	service := shop(addr(a))
	service.Health = control.Health{Path: "/up"}
	var notReady *control.NotReady
	if err := s.Deploy(aMinute(t), service); !errors.As(err, &notReady) || !strings.HasPrefix(notReady.Reason, "GET /up answered 404 for 10 seconds") {
		t.Errorf("got %v", err)
	}
	if n := probes.Load(); n < 3 || n > 40 {
		t.Errorf("it was asked %d times", n)
	}
}

// TestProbesWaitAsTheCheckSays: an app server that answers 404 until the app in it has started
// has the time that its check asks for.
func TestProbesWaitAsTheCheckSays(t *testing.T) {
	for deadline, want := range map[time.Duration]bool{0: true, 2 * time.Minute: false} {
		if got := proxy.InVain(control.Health{Path: "/up", Deadline: deadline}, 11*time.Second); got != want {
			t.Errorf("with a deadline of %s: %v", deadline, got)
		}
	}
}

// TestProbesOfHostileApps: neither a head without end nor a body that does not come holds a
// deploy up, or takes memory.
func TestProbesOfHostileApps(t *testing.T) {
	s := start(t)
	answers := func(text string) string {
		return rawApp(t, func(c net.Conn, r *bufio.Reader) {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			io.WriteString(c, text)
			io.Copy(io.Discard, c)
		})
	}
	service := shop(answers("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun"))
	service.Health = control.Health{Path: "/", Timeout: time.Hour, Deadline: time.Hour}
	s.deploy(service) // within the test's own patience
	for name, head := range map[string]string{
		"a head of 2 MB":         "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Long: "+strings.Repeat("x", 990)+"\r\n", 2000) + "\r\n",
		"interim answers alone":  strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 20_000),
		"a head without its end": "HTTP/1.1 200 OK\r\nX-Begun: ",
	} {
		service := shop(answers(head))
		service.Targets[0].ID = "web.2"
		service.Health = control.Health{Path: "/", Timeout: time.Second, Deadline: 1500 * time.Millisecond}
		var notReady *control.NotReady
		if err := s.Deploy(aMinute(t), service); !errors.As(err, &notReady) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDeployWaitsUntilTheTargetIsReady(t *testing.T) {
	s := start(t)
	var probes atomic.Int32
	a := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/up" && probes.Add(1) < 4 {
			w.WriteHeader(503)
		}
	})
	service := shop(addr(a))
	service.Health.Path = "/up"
	s.deploy(service)
	if probes.Load() != 4 {
		t.Errorf("%d probes", probes.Load())
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("")))))
	var invalid *control.Invalid
	for name, change := range map[string]func(*control.Service){
		"no name":    func(s *control.Service) { s.Name = "" },
		"path":       func(s *control.Service) { s.Name = "../x" },
		"upper host": func(s *control.Service) { s.Hosts = []string{"Shop.localhost"} },
		"host port":  func(s *control.Service) { s.Hosts = []string{"shop:80"} },
		"host twice": func(s *control.Service) { s.Hosts = []string{"a.b", "a.b"} },
		"host zone":  func(s *control.Service) { s.Hosts = []string{"fe80::1%/../../x"} },
		"redirect to a zone": func(s *control.Service) {
			s.Options.Redirects = map[string]string{"a.b": "fe80::1%\r\nSet-Cookie: a=b"}
		},
		"host taken":   func(s *control.Service) { s.Name = "other" },
		"address":      func(s *control.Service) { s.Targets[0].Address = "nowhere" },
		"target twice": func(s *control.Service) { s.Targets = append(s.Targets, s.Targets[0]) },
		"hash":         func(s *control.Service) { s.Options.Auth = map[string]string{"u": "plain"} },
		"cidr":         func(s *control.Service) { s.Options.AllowFrom = []string{"everywhere"} },
		"negative":     func(s *control.Service) { s.Options.MaxBody = -1 },
		"loop":         func(s *control.Service) { s.Options.Redirects = map[string]string{"a.b": "a.b"} },
	} {
		service := shop("127.0.0.1:1")
		service.Health.Deadline = time.Millisecond
		change(&service)
		if name == "host taken" {
			service.Targets = nil
		}
		if err := s.Deploy(context.Background(), service); !errors.As(err, &invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// load sends requests with n clients that keep no connection until stop.
func (s *stand) load(n int, check func(answer) error) (stop func() (requests int64)) {
	var count atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range n {
		c := s.newClient(i%2 == 1)
		wg.Go(func() {
			for ctx.Err() == nil {
				if i%4 == 0 {
					c.CloseIdleConnections()
				}
				res, err := c.Get(shopURL)
				if err != nil {
					s.t.Errorf("request failed: %v", err)
					return
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err == nil {
					err = check(answer{res, string(body)})
				}
				if err != nil {
					s.t.Errorf("request failed: %v", err)
					return
				}
				count.Add(1)
			}
		})
	}
	return func() int64 {
		cancel()
		wg.Wait()
		return count.Load()
	}
}

func Test200SwapsUnderLoadFailNoRequest(t *testing.T) {
	s := start(t)
	next := func() *httptest.Server { return httptest.NewServer(says("ok")) }
	a := next()
	s.deploy(shop(addr(a)))
	stop := s.load(4, func(a answer) error {
		if a.StatusCode != 200 || a.body != "ok" {
			return fmt.Errorf("%d %q", a.StatusCode, a.body)
		}
		return nil
	})
	for range 200 {
		b := next()
		s.deploy(shop(addr(b)))
		if err := s.Drain(context.Background(), "shop", time.Minute); err != nil {
			t.Fatal(err)
		}
		// Drained means that it may be killed.
		a.CloseClientConnections()
		a.Close()
		a = b
	}
	t.Logf("%d requests", stop())
	a.Close()
}

func TestDrainWaitsForRequestsAndCutsAtItsBudget(t *testing.T) {
	s := start(t)
	release, entered := make(chan bool), make(chan bool, 2)
	a := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- true
			<-release
			io.WriteString(w, "done")
		}
	})
	s.deploy(shop(addr(a)))
	result := make(chan string, 2)
	slow := func() {
		res, err := s.client.Get(shopURL + "slow")
		if err != nil {
			result <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		result <- string(b)
	}
	go slow()
	<-entered
	s.deploy(shop(addr(app(t, says("new")))))
	if got := s.get(shopURL); got.body != "new" {
		t.Errorf("after the swap: %q", got.body)
	}
	list, err := s.Services(context.Background())
	if err != nil || len(list) != 1 || len(list[0].Draining) != 1 || list[0].InFlight[list[0].Draining[0]] != 1 {
		t.Errorf("services: %+v %v", list, err)
	}
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(context.Background(), "shop", time.Minute) }()
	release <- true
	if got := <-result; got != "done" {
		t.Errorf("request in flight: %q", got)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	// Again, with a budget that is too short.
	s.deploy(shop(addr(a)))
	go slow()
	<-entered
	s.deploy(shop(addr(app(t, says("newer")))))
	if err := s.Drain(context.Background(), "shop", 30*time.Millisecond); err != nil {
		t.Error(err)
	}
	if got := <-result; got == "done" {
		t.Error("the request outlived the budget")
	}
	close(release)
}

func TestPauseOfAbsentService(t *testing.T) {
	s := start(t)
	var absent *control.NotFound
	if err := s.Pause(context.Background(), "nobody", time.Minute); !errors.As(err, &absent) {
		t.Errorf("got %v, want a NotFound", err)
	}
	if err := s.Resume(context.Background(), "nobody"); err != nil {
		t.Errorf("resume: %v", err)
	}
}

func TestPauseHoldsRequestsAndResumeLetsThemGo(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("ok")))))
	if err := s.Pause(context.Background(), "shop", time.Minute); err != nil {
		t.Fatal(err)
	}
	result := make(chan string, 1)
	go func() { result <- s.get(shopURL).body }()
	// A deploy while paused stays paused.
	s.deploy(shop(addr(app(t, says("new")))))
	select {
	case got := <-result:
		t.Fatalf("answered %q while paused", got)
	case <-time.After(30 * time.Millisecond):
	}
	if list, _ := s.Services(context.Background()); !list[0].Paused {
		t.Error("not shown as paused")
	}
	if err := s.Resume(context.Background(), "shop"); err != nil {
		t.Fatal(err)
	}
	if got := <-result; got != "new" {
		t.Errorf("after resume: %q", got)
	}
	if err := s.Pause(context.Background(), "shop", 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got := s.get(shopURL); got.StatusCode != 503 {
		t.Errorf("past the limit: %d", got.StatusCode)
	}
}

func TestPauseReturnsOnceNothingIsInFlight(t *testing.T) {
	s := start(t)
	release, entered := make(chan bool), make(chan bool, 1)
	a := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- true
			<-release
		}
	})
	s.deploy(shop(addr(a)))
	done := make(chan int, 1)
	go func() { done <- s.get(shopURL + "slow").StatusCode }()
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.Pause(ctx, "shop", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("pause with a request in flight: %v", err)
	}
	close(release)
	if err := s.Pause(context.Background(), "shop", time.Minute); err != nil {
		t.Error(err)
	}
	if got := <-done; got != 200 {
		t.Errorf("request in flight: %d", got)
	}
}

func TestLeastInFlightAndEjection(t *testing.T) {
	s := start(t)
	release, entered := make(chan bool), make(chan bool, 1)
	slow := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			entered <- true
			<-release
		}
		io.WriteString(w, "a")
	})
	b := app(t, says("b"))
	s.deploy(shop(addr(slow), addr(b)))
	seen := map[string]int{}
	for range 20 {
		seen[s.get(shopURL).body]++
	}
	if seen["a"] != 10 || seen["b"] != 10 {
		t.Errorf("idle targets take turns: %v", seen)
	}
	// Hold one request at a; whichever target it falls to, all others go to the other.
	held := make(chan string, 2)
	go func() { held <- s.get(shopURL + "hold").body }()
	select {
	case <-entered:
	case <-held: // it fell to b: the next one falls to a
		go func() { held <- s.get(shopURL + "hold").body }()
		<-entered
	}
	for range 10 {
		if got := s.get(shopURL).body; got != "b" {
			t.Errorf("busy target was chosen: %q", got)
		}
	}
	close(release)
	<-held
	// b goes away: nobody notices, and it is ejected; then it is back.
	b.Listener.Close()
	b.CloseClientConnections()
	until(t, "b is ejected", func() bool {
		if got := s.get(shopURL); got.body != "a" {
			t.Errorf("after b went away: %d %q", got.StatusCode, got.body)
		}
		list, err := s.Services(context.Background())
		return err == nil && len(list[0].Ejected) == 1
	})
	l, err := net.Listen("tcp", addr(b))
	if err != nil {
		t.Fatal(err)
	}
	back := &http.Server{Handler: says("b again")}
	defer back.Close()
	go back.Serve(l)
	until(t, "b is taken back", func() bool { return s.get(shopURL).body == "b again" })
}

func TestKeptConnectionThatTheTargetClosed(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		a := app(t, says("ok"))
		s.deploy(shop(addr(a)))
		for i := range 20 {
			method := []string{"GET", "POST"}[i%2]
			if got := s.doWith(c, request(t, method, shopURL, nil)); got.StatusCode != 200 {
				t.Errorf("%s %d: %d", method, i, got.StatusCode)
			}
			a.CloseClientConnections()
		}
	})
}

// --- state ---

func TestRestartServesFromTheStateFile(t *testing.T) {
	s := start(t)
	service := shop(addr(app(t, says("ok"))))
	service.Options.HSTS = time.Hour
	s.deploy(service)
	other := control.Service{Name: "other", Hosts: []string{"*.other.localhost"}, Targets: service.Targets}
	s.deploy(other)
	root := string(s.RootCertificate())
	s.restart()
	if got := s.get(shopURL); got.body != "ok" || got.Header.Get("Strict-Transport-Security") != "max-age=3600" {
		t.Errorf("got %d %q %v", got.StatusCode, got.body, got.Header)
	}
	if got := s.get("https://x.other.localhost/"); got.body != "ok" {
		t.Errorf("wildcard: %d", got.StatusCode)
	}
	if string(s.RootCertificate()) != root {
		t.Error("the local CA changed")
	}
	if err := s.Remove(context.Background(), "other"); err != nil {
		t.Fatal(err)
	}
	s.restart()
	if got := s.get("http://x.other.localhost/"); got.StatusCode != 404 {
		t.Errorf("removed: %d", got.StatusCode)
	}
}

func TestDamagedAndFutureStateFiles(t *testing.T) {
	s := start(t)
	a := addr(app(t, says("ok")))
	s.deploy(shop(a))
	for _, name := range []string{"cut", "future", "odd"} {
		service := shop(a)
		service.Name, service.Hosts = name, []string{name + ".localhost"}
		s.deploy(service)
	}
	path := func(name string) string { return filepath.Join(s.options.State, "routes", name+".json") }
	text, err := os.ReadFile(path("cut"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(text) - 2 {
		if n%37 != 0 {
			continue
		}
		if err := os.WriteFile(path("cut"), text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		s.restart()
		if got := s.get("http://cut.localhost/"); got.StatusCode != 404 {
			t.Fatalf("cut at %d: %d", n, got.StatusCode)
		}
	}
	future, _ := json.Marshal(map[string]any{"version": 99, "service": map[string]any{"name": "future", "hosts": 7}})
	os.WriteFile(path("future"), future, 0o600)
	os.WriteFile(path("odd"), []byte(`{"version":1,"service":{"name":"odd","hosts":["UPPER"]}}`), 0o600)
	os.WriteFile(filepath.Join(s.options.State, "routes", ".new-1234"), []byte("half"), 0o600)
	s.restart()
	if got := s.get(shopURL); got.body != "ok" {
		t.Errorf("a sound neighbour: %d", got.StatusCode)
	}
	if kept, _ := os.ReadFile(path("future")); string(kept) != string(future) {
		t.Error("a file from the future was touched")
	}
	// The daemon deploys again, and all is well.
	again := shop(a)
	again.Name, again.Hosts = "cut", []string{"cut.localhost"}
	s.deploy(again)
	s.restart()
	if got := s.get("https://cut.localhost/"); got.body != "ok" {
		t.Errorf("deployed again: %d", got.StatusCode)
	}
}

// --- WebSockets ---

// echoSocket upgrades and echoes bytes.
func echoSocket(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" {
		return
	}
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello")
	io.Copy(c, rw)
}

func (s *stand) dialSocket() (net.Conn, *bufio.Reader) {
	s.t.Helper()
	c := s.dialTLS()
	io.WriteString(c, "GET /cable HTTP/1.1\r\nHost: shop.localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Sec-Websocket-Accept") != "x" {
		s.t.Fatalf("upgrade: %v %v", res, err)
	}
	b := make([]byte, 10)
	if _, err := io.ReadFull(r, b); err != nil || string(b) != "helloearly" {
		s.t.Fatalf("first bytes: %q %v", b, err)
	}
	return c, r
}

func TestWebSocketsPassAndDrain(t *testing.T) {
	s := start(t)
	a := app(t, echoSocket)
	s.deploy(shop(addr(a)))
	var conns []net.Conn
	for range 10 {
		c, r := s.dialSocket()
		conns = append(conns, c)
		for i := range 5 {
			text := strings.Repeat(fmt.Sprint(i), 10000)
			go io.WriteString(c, text)
			b := make([]byte, len(text))
			if _, err := io.ReadFull(r, b); err != nil || string(b) != text {
				t.Fatalf("echo: %v", err)
			}
		}
	}
	// A pause does not wait for them.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Pause(ctx, "shop", time.Second); err != nil {
		t.Error(err)
	}
	s.Resume(ctx, "shop")
	s.deploy(shop(addr(app(t, echoSocket))))
	closed := make(chan time.Time, len(conns))
	for _, c := range conns {
		go func() {
			io.Copy(io.Discard, c)
			closed <- time.Now()
		}()
	}
	begin := time.Now()
	if err := s.Drain(ctx, "shop", 2*time.Second); err != nil {
		t.Error(err)
	}
	first, last := time.Duration(1<<62), time.Duration(0)
	for range conns {
		at := (<-closed).Sub(begin)
		first, last = min(first, at), max(last, at)
	}
	if last-first < 20*time.Millisecond {
		t.Errorf("all were closed within %v of each other", last-first)
	}
}
