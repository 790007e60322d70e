package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"towline/proxy/control"
)

// thinking is an app that takes its time: each request of /slow is announced, and is
// answered on release unless its client is gone before.
type thinking struct {
	entered, gone chan bool
	release       chan bool
}

func newThinking(t *testing.T) (*thinking, string) {
	a := &thinking{entered: make(chan bool), gone: make(chan bool, 10), release: make(chan bool)}
	return a, addr(app(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/begun":
			w.Write(make([]byte, 100<<10))
			w.(http.Flusher).Flush()
		case "/slow":
		default:
			io.WriteString(w, "ok")
			return
		}
		a.entered <- true
		select {
		case <-a.release:
			io.WriteString(w, "done")
		case <-r.Context().Done():
			a.gone <- true
		}
	}))
}

func patientShop(target string) control.Service {
	s := shop(target)
	s.Options.PlainHTTP = true
	s.Options.ResponseTimeout, s.Options.IdleTimeout = time.Hour, time.Hour
	return s
}

// A client that is gone keeps no app busy, whether it closes or resets, before the
// answer or in a pause of it.
func TestClientGoneWhileTheAppThinks(t *testing.T) {
	s := start(t)
	a, target := newThinking(t)
	s.deploy(patientShop(target))
	ends := map[string]func(c net.Conn){
		"closed": func(c net.Conn) { c.Close() },
		"reset": func(c net.Conn) {
			if tcp, ok := c.(*net.TCPConn); ok {
				tcp.SetLinger(0)
			}
			c.Close()
		},
	}
	for name, end := range ends {
		for protocol, dial := range map[string]func() net.Conn{"plain": s.dialPlain, "TLS": s.dialTLS} {
			for _, request := range []string{"GET /slow HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", "POST /slow HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000)} {
				c := dial()
				io.WriteString(c, request)
				<-a.entered
				end(c)
				select {
				case <-a.gone:
				case <-time.After(time.Minute):
					t.Errorf("%s, %s, %.4s: the app still thinks", name, protocol, request)
				}
			}
		}
	}
	// In the middle of an answer only a reset can be told from the end of what is sent.
	c := s.dialPlain()
	io.WriteString(c, "GET /begun HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	<-a.entered
	c.Read(make([]byte, 1))
	ends["reset"](c)
	select {
	case <-a.gone:
	case <-time.After(time.Minute):
		t.Error("in the middle of an answer: the app still thinks")
	}
	log := filepath.Join(s.options.AccessLog, "shop.log")
	until(t, "the log says that the client went in the middle", func() bool {
		text, _ := os.ReadFile(log)
		return strings.Contains(string(text), "at=error error=client-gone method=GET path=\"/begun\"")
	})
	until(t, "the log says so", func() bool {
		text, _ := os.ReadFile(log)
		return strings.Count(string(text), "at=error error=client-gone method=GET path=\"/slow\"") == 4 &&
			strings.Count(string(text), " status=499 ") == 8
	})
}

// Nor an app that speaks HTTP/2.
func TestClientGoneWhileAnH2CAppThinks(t *testing.T) {
	s := start(t)
	entered, gone := make(chan bool), make(chan bool)
	sv := grpcShop(h2cServer(t, forVisitors(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		entered <- true
		<-r.Context().Done()
		gone <- true
	})))
	sv.Options.PlainHTTP, sv.Options.ResponseTimeout, sv.Options.IdleTimeout = true, time.Hour, time.Hour
	s.deploy(sv)
	for _, request := range []string{"GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000)} {
		for _, dial := range []func() net.Conn{s.dialPlain, s.dialTLS} {
			c := dial()
			io.WriteString(c, request)
			<-entered
			c.Close()
			select {
			case <-gone:
			case <-time.After(20 * time.Second):
				t.Fatalf("%.4s: the app still thinks", request)
			}
		}
	}
	until(t, "the log says so", func() bool {
		text, _ := os.ReadFile(filepath.Join(s.options.AccessLog, "shop.log"))
		return strings.Count(string(text), "at=error error=client-gone ") == 4 && strings.Count(string(text), " status=499 ") == 4
	})
}

// A client that sends no more may wait for its answers, and gets all that it asked for.
func TestHalfClosedClientsAreServed(t *testing.T) {
	s := start(t)
	a, target := newThinking(t)
	s.deploy(patientShop(target))
	for protocol, dial := range map[string]func() net.Conn{"plain": s.dialPlain, "TLS": s.dialTLS} {
		c := dial()
		c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: shop.localhost\r\n\r\nGET /slow HTTP/1.1\r\nHost: shop.localhost\r\n\r\nGET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		c.(interface{ CloseWrite() error }).CloseWrite()
		answers := bufio.NewReader(c)
		for i := range 2 {
			<-a.entered
			if protocol == "plain" {
				// The proxy asks whether the client is there.
				if res, err := http.ReadResponse(answers, nil); err != nil || res.StatusCode != 100 {
					t.Fatalf("%s, request %d: %v %v", protocol, i, res, err)
				}
			}
			a.release <- true
			if body := readAnswer(t, answers); body != "done" {
				t.Errorf("%s, request %d: %q", protocol, i, body)
			}
		}
		if body := readAnswer(t, answers); body != "ok" {
			t.Errorf("%s, last request: %q", protocol, body)
		}
	}
	select {
	case <-a.gone:
		t.Error("the app was told that its client is gone")
	default:
	}
}

// What a client sends ahead, while it is looked after, is served in turn.
func TestRequestsSentAheadAreNotLost(t *testing.T) {
	s := start(t)
	a, target := newThinking(t)
	s.deploy(patientShop(target))
	for _, dial := range []func() net.Conn{s.dialPlain, s.dialTLS} {
		c := dial()
		c.SetDeadline(time.Now().Add(time.Minute))
		answers := bufio.NewReader(c)
		io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		<-a.entered
		for range 5 {
			time.Sleep(60 * time.Millisecond) // the watch begins among these
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		}
		a.release <- true
		if body := readAnswer(t, answers); body != "done" {
			t.Errorf("%q", body)
		}
		for i := range 5 {
			if body := readAnswer(t, answers); body != "ok" {
				t.Errorf("request %d sent ahead: %q", i, body)
			}
		}
	}
}

func readAnswer(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// What an app says behind its answer, however late, is no answer to another request.
func TestLateBytesOfAnAppReachNobody(t *testing.T) {
	for answer, method := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n":      "HEAD",
		"HTTP/1.1 204 No Content\r\n\r\n":                   "GET",
		"HTTP/1.1 304 Not Modified\r\n\r\n":                 "GET",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":      "GET",
		"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n": "POST",
	} {
		s := start(t)
		speak, spoken := make(chan bool), make(chan bool)
		s.deploy(shop(rawApp(t, func(c net.Conn, r *bufio.Reader) {
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				if req.URL.Path != "/late" {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					continue
				}
				io.WriteString(c, answer)
				<-speak
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
				until(t, "the late bytes have arrived", func() bool { return unsent(t, c) == 0 })
				spoken <- true
			}
		})))
		s.do(request(t, method, shopURL+"late", nil))
		speak <- true
		<-spoken
		for range 3 {
			if got := s.get(shopURL); got.body != "ok" {
				t.Errorf("after %s and %.12q: %q", method, answer, got.body)
			}
		}
	}
}

// An app that promises a body where there is none is asked nothing more on that connection.
func TestBodyOf204(t *testing.T) {
	for _, field := range []string{"Content-Length: 4", "Transfer-Encoding: chunked"} {
		s := start(t)
		ended := make(chan error, 1)
		s.deploy(shop(rawApp(t, func(c net.Conn, r *bufio.Reader) {
			req, err := http.ReadRequest(r)
			if err != nil || req.URL.Path != "/none" {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				return
			}
			io.WriteString(c, "HTTP/1.1 204 No Content\r\n"+field+"\r\n\r\n")
			c.SetReadDeadline(time.Now().Add(2 * time.Second)) // less than an unused one is kept for
			_, err = r.ReadByte()
			ended <- err
		})))
		if got := s.get(shopURL + "none"); got.StatusCode != 204 || got.body != "" {
			t.Errorf("%s: %+v", field, got)
		}
		if err := <-ended; err != io.EOF {
			t.Errorf("%s: the connection is kept: %v", field, err)
		}
	}
}

// unsent is how many bytes the other side's kernel has not acknowledged.
func unsent(t *testing.T, c net.Conn) (n int) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
	}
	if err != nil {
		t.Error(err)
	}
	return n
}
