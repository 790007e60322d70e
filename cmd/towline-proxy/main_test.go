package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"towline/proxy/control"
)

// The test binary is the program itself when asked to be.
func TestMain(m *testing.M) {
	if os.Getenv("TOWLINE_PROXY_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

type stand struct {
	t           *testing.T
	dir         string
	http, https net.Listener // held open by the test, as systemd does
	client      *http.Client
}

func newStand(t *testing.T) *stand {
	s := &stand{t: t, dir: t.TempDir()}
	for _, l := range []*net.Listener{&s.http, &s.https} {
		var err error
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*l).Close() })
	}
	text := fmt.Sprintf("[proxy]\nhttp = %q\nhttps = %q\ncontrol = %q\nstate = %q\naccess_log = %q\nmetrics = \"\"\n[tls]\nacme = \"\"\n",
		s.http.Addr(), s.https.Addr(), s.dir+"/control.sock", s.dir+"/state", s.dir+"/log")
	if err := os.WriteFile(s.dir+"/towline.toml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// run starts the program with the listeners, as systemd would, and waits until
// it says that it serves.
func (s *stand) run() *exec.Cmd {
	s.t.Helper()
	cmd := exec.Command(os.Args[0], "--config", s.dir+"/towline.toml")
	for _, l := range []net.Listener{s.http, s.https} {
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			s.t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, w)
	cmd.Env = append(os.Environ(), "TOWLINE_PROXY_TEST_MAIN=1", "LISTEN_PID=self", "LISTEN_FDS=2", "LISTEN_FDNAMES=http:https", readyFD+"=5")
	cmd.Stderr = s.t.Output()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	w.Close()
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if n, err := r.Read(make([]byte, 1)); n != 1 {
		s.t.Fatalf("not ready: %v", err)
	}
	return cmd
}

func (s *stand) deploy(target string) {
	s.t.Helper()
	c := control.NewClient(s.dir + "/control.sock")
	defer c.Close()
	err := c.Deploy(context.Background(), control.Service{Name: "shop", Hosts: []string{"shop.localhost"}, Targets: []control.Target{{ID: "web.1", Address: target}}})
	if err != nil {
		s.t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(s.dir, "state/ca/root.crt"))
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	s.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", s.https.Addr().String())
		},
	}}
}

// load sends requests until stop, with n clients that keep no connection.
func (s *stand) load(n int) (stop func() (ok, failed int64)) {
	var good, bad atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				res, err := s.client.Get("https://shop.localhost/")
				if err == nil {
					var body []byte
					body, err = io.ReadAll(res.Body)
					res.Body.Close()
					if err == nil && string(body) != "ok" {
						err = fmt.Errorf("%d %q", res.StatusCode, body)
					}
				}
				if err != nil {
					bad.Add(1)
					s.t.Logf("failed: %v", err)
					continue
				}
				good.Add(1)
			}
		})
	}
	return func() (int64, int64) {
		cancel()
		wg.Wait()
		return good.Load(), bad.Load()
	}
}

func target(t *testing.T) string {
	a := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	t.Cleanup(a.Close)
	return strings.TrimPrefix(a.URL, "http://")
}

// Killed under load while somebody holds the listeners: only what was in flight
// fails, and the routes are read back without the daemon.
func TestKilledAndRestartedWithListenersHeld(t *testing.T) {
	s := newStand(t)
	cmd := s.run()
	s.deploy(target(t))
	const clients, kills = 4, 3
	stop := s.load(clients)
	for range kills {
		s.waitForRequests(20)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		cmd = s.run()
	}
	s.waitForRequests(20)
	good, bad := stop()
	t.Logf("%d requests, %d failed", good, bad)
	// Each client has one request in flight at each kill.
	if bad > clients*kills {
		t.Errorf("%d requests failed, at most %d were in flight", bad, clients*kills)
	}
}

// waitForRequests waits until that many more have been answered.
func (s *stand) waitForRequests(n int) {
	s.t.Helper()
	for range n {
		res, err := s.client.Get("https://shop.localhost/")
		if err != nil {
			s.t.Fatal(err)
		}
		res.Body.Close()
	}
}

// handOvers is how many are made one after another: 8, or what TOWLINE_HANDOVERS says.
func handOvers() int {
	if n, err := strconv.Atoi(os.Getenv("TOWLINE_HANDOVERS")); err == nil {
		return n
	}
	return 8
}

// keep sends requests until stop, with n clients that keep their connection as long as
// the proxy lets them. They send nothing twice, and nothing once the connection's end
// was announced or has come.
func (s *stand) keep(n int) (stop func() (ok, failed, connections int64)) {
	var good, bad, opened atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	config := s.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "shop.localhost"
	for i := range n {
		pause := time.Duration(i) * 20 * time.Millisecond // from busy to mostly idle
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := tls.Dial("tcp", s.https.Addr().String(), config)
				if err != nil {
					bad.Add(1)
					s.t.Logf("cannot connect: %v", err)
					return
				}
				opened.Add(1)
				r := bufio.NewReader(c)
				for last := false; !last && ctx.Err() == nil; time.Sleep(pause) {
					if last, err = askOnce(c, r); err != nil {
						bad.Add(1)
						s.t.Logf("failed on a kept connection: %v", err)
						break
					}
					good.Add(1)
				}
				c.Close()
			}
		})
	}
	return func() (int64, int64, int64) {
		cancel()
		wg.Wait()
		return good.Load(), bad.Load(), opened.Load()
	}
}

// multiplex sends requests until stop, n at a time on one HTTP/2 connection, by a
// client that keeps to RFC 9113, 6.8: it sends again what was not served, and that alone.
func (s *stand) multiplex(n int) (stop func() (ok, failed int64)) {
	var good, bad atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	transport := s.client.Transport.(*http.Transport).Clone()
	transport.DisableKeepAlives = false
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP2(true)
	client := &http.Client{Transport: transport}
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				res, err := client.Post("https://shop.localhost/", "text/plain", strings.NewReader("hello"))
				if err == nil {
					var body []byte
					body, err = io.ReadAll(res.Body)
					res.Body.Close()
					if err == nil && (string(body) != "ok" || res.ProtoMajor != 2) {
						err = fmt.Errorf("%d %q %s", res.StatusCode, body, res.Proto)
					}
				}
				if err != nil {
					bad.Add(1)
					s.t.Logf("failed over HTTP/2: %v", err)
					continue
				}
				good.Add(1)
			}
		})
	}
	return func() (int64, int64) {
		cancel()
		wg.Wait()
		transport.CloseIdleConnections()
		return good.Load(), bad.Load()
	}
}

// askOnce sends one request; last tells that the connection ends with its answer.
func askOnce(c net.Conn, r *bufio.Reader) (last bool, err error) {
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
		return false, err
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return false, err
	}
	body, err := io.ReadAll(res.Body)
	if err == nil && string(body) != "ok" {
		err = fmt.Errorf("%d %q", res.StatusCode, body)
	}
	return res.Close, err
}

// Hand-overs, one after another, drop nothing at all.
func TestHandOverUnderLoadFailsNoRequest(t *testing.T) {
	s := newStand(t)
	first := s.run()
	s.deploy(target(t))
	// From here on the program alone holds the listeners.
	s.http.Close()
	s.https.Close()
	t.Cleanup(s.stopAll)
	stop, stopKept, stopH2 := s.load(4), s.keep(4), s.multiplex(8)
	s.waitForRequests(10)
	pid := first.Process.Pid
	for range handOvers() {
		if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		pid = s.successor(pid)
		s.waitForRequests(10)
	}
	// Not first.Wait: its successors have the same standard error.
	if state, err := first.Process.Wait(); err != nil || !state.Success() {
		t.Errorf("the first process: %v %v", state, err)
	}
	good, bad := stop()
	t.Logf("%d requests, %d failed", good, bad)
	if bad > 0 {
		t.Errorf("%d of %d requests failed", bad, good)
	}
	good, bad = stopH2()
	t.Logf("%d requests over HTTP/2, %d failed", good, bad)
	if bad > 0 || good == 0 {
		t.Errorf("%d of %d requests over HTTP/2 failed", bad, good)
	}
	good, bad, connections := stopKept()
	t.Logf("%d requests on %d kept connections, %d failed", good, connections, bad)
	if bad > 0 || connections > good/2 {
		t.Errorf("of %d requests on %d kept connections %d failed", good, connections, bad)
	}
	// The last one answers on the control socket, too.
	c := control.NewClient(s.dir + "/control.sock")
	defer c.Close()
	if list, err := c.Services(context.Background()); err != nil || len(list) != 1 {
		t.Errorf("control socket: %v %v", list, err)
	}
}

// successor waits until the process has handed over and is gone, and finds the
// one that serves instead of it.
func (s *stand) successor(old int) int {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if pids := programs(s.t, s.dir); len(pids) == 1 && pids[0] != old {
			return pids[0]
		}
	}
	s.t.Fatalf("process %d does not give way", old)
	return 0
}

// programs lists the processes that run with this directory's configuration;
// those that ended and were not waited for have no command line.
func programs(t *testing.T, dir string) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err == nil && bytes.Contains(line, []byte("\x00"+dir+"/towline.toml")) {
			pid, err := strconv.Atoi(strings.Split(f, "/")[2])
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// A socket's mode is that of both processes: neither os/exec nor
// net.FileListener may make it blocking while the other one accepts.
func TestSharedSocketStaysNonBlocking(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nonBlocking := func() bool {
		raw, err := l.(*net.TCPListener).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var flags uintptr
		if err := raw.Control(func(fd uintptr) { flags, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0) }); err != nil {
			t.Fatal(err)
		}
		return flags&syscall.O_NONBLOCK != 0
	}
	f, err := share(l.(*net.TCPListener), "http")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if fd := f.Fd(); !nonBlocking() { // as os/exec does
		t.Errorf("blocking once descriptor %d is passed on", fd)
	}
	// The other process's own file of it, as package activation makes it.
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	own, err := share(os.NewFile(uintptr(fd), "http"), "http")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if own.Fd(); !nonBlocking() { // as net.FileListener does
		t.Error("blocking once it is taken over")
	}
}

// stopAll ends the processes that nobody is the parent of any more.
func (s *stand) stopAll() {
	for _, pid := range programs(s.t, s.dir) {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	for deadline := time.Now().Add(time.Minute); len(programs(s.t, s.dir)) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Error("the last process does not stop")
			return
		}
	}
}

func TestStopLetsRequestsFinish(t *testing.T) {
	s := newStand(t)
	entered, release := make(chan bool), make(chan bool)
	a := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- true
			<-release
			io.WriteString(w, "done")
		}
	}))
	defer a.Close()
	cmd := s.run()
	s.deploy(strings.TrimPrefix(a.URL, "http://"))
	result := make(chan string, 1)
	go func() {
		res, err := s.client.Get("https://shop.localhost/slow")
		if err != nil {
			result <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		result <- string(b)
	}()
	<-entered
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	release <- true
	if got := <-result; got != "done" {
		t.Errorf("request in flight: %q", got)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) string {
		path := filepath.Join(dir, "t.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for text, want := range map[string]string{
		"":                                         "",
		"[proxy]\nhttp = \"nowhere:http:1\"\n":     "proxy.http",
		"[proxy]\nhttp = \"\"\nhttps = \"\"\n":     "nothing to serve",
		"[proxy]\nproxy_protocol = [\"x\"]\n":      "proxy.proxy_protocol",
		"[proxy]\ntrust_forwarded = [\"x\"]\n":     "proxy.trust_forwarded",
		"[tls]\neab_key = \"x\"\n":                 "tls.eab_key_id",
		"[tls]\ndns_provider = \"carrier pigeon\"": "tls.dns_provider",
		"[proxy]\nnonsense = 1\n":                  ":2: unknown key",
	} {
		var out bytes.Buffer
		err := run([]string{"--config", write(text), "--check"}, &out, io.Discard)
		if want == "" && (err != nil || !strings.Contains(out.String(), "valid")) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	var out bytes.Buffer
	if err := run([]string{"--version"}, &out, io.Discard); err != nil || !strings.HasPrefix(out.String(), "towline-proxy ") {
		t.Errorf("version: %q %v", out.String(), err)
	}
	if _, err := bufio.NewReader(&out).ReadByte(); err != nil {
		t.Error(err)
	}
}
