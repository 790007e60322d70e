package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"towline/proxy/control"
)

// rawApp is a target that speaks for itself: f gets every connection.
func rawApp(t testing.TB, f func(c net.Conn, r *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c, bufio.NewReader(c))
			}()
		}
	})
	return l.Addr().String()
}

// rawAnswer answers every request with text and keeps the connection, but a
// probe with 200.
func rawAnswer(t testing.TB, text string) string {
	return rawApp(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if req.Header.Get("User-Agent") == "towline-health" {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				return
			}
			io.WriteString(c, text)
		}
	})
}

func TestTargetDiesMidAnswer(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		for name, text := range map[string]string{
			"length":  "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf",
			"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		} {
			a := rawApp(t, func(c net.Conn, r *bufio.Reader) {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				if req.Header.Get("User-Agent") == "towline-health" {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					return
				}
				io.WriteString(c, text)
			})
			s.deploy(shop(a))
			res, err := c.Do(request(t, "GET", shopURL, nil))
			if err == nil {
				_, err = io.ReadAll(res.Body)
				res.Body.Close()
			}
			if err == nil {
				t.Errorf("%s: the client took half an answer for a whole one", name)
			}
		}
	})
}

func TestTargetThatNeverAnswers(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		a := rawAnswer(t, "")
		service := shop(a)
		service.Options.ResponseTimeout = 50 * time.Millisecond
		service.Options.ErrorPage = "<h1>sorry</h1>"
		s.deploy(service)
		if got := s.doWith(c, request(t, "GET", shopURL, nil)); got.StatusCode != 504 || got.body != "<h1>sorry</h1>" {
			t.Errorf("got %d %q", got.StatusCode, got.body)
		}
	})
}

func TestTargetThatStallsMidAnswer(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		a := rawAnswer(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		service := shop(a)
		service.Options.IdleTimeout = 400 * time.Millisecond
		s.deploy(service)
		res, err := c.Do(request(t, "GET", shopURL, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Error("a stalled answer ended well")
		}
	})
}

// What a target must not be able to do to the client or to the next request.
func TestAnswersThatAreNotHTTP(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		for _, text := range []string{
			"rubbish\r\n\r\n",
			"HTTP/1.1 200\n\n",
			"HTTP/1.1 99 Low\r\n\r\n",
			"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\n folded\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
			"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
			"HTTP/2 200 OK\r\n\r\n",
			"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 300<<10) + "\r\n\r\n",
		} {
			s.deploy(shop(rawAnswer(t, text)))
			if got := s.doWith(c, request(t, "POST", shopURL, nil)); got.StatusCode != 502 {
				t.Errorf("%.60q: got %d", text, got.StatusCode)
			}
		}
	})
}

// Bytes after an answer belong to nobody: the connection must not be used again.
func TestSurplusBytesNeverReachTheNextRequest(t *testing.T) {
	s := start(t)
	a := rawAnswer(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
	s.deploy(shop(a))
	for range 5 {
		if got := s.get(shopURL); got.body != "ok" {
			t.Fatalf("got %q", got.body)
		}
	}
}

func TestClientGoneMidUpload(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		started, ended := make(chan bool, 1), make(chan error, 1)
		a := app(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != "POST" {
				return
			}
			r.Body.Read(make([]byte, 1))
			started <- true
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
		})
		s.deploy(shop(addr(a)))
		ctx, cancel := context.WithCancel(context.Background())
		pr, pw := io.Pipe()
		go func() {
			res, err := c.Do(request(t, "POST", shopURL, pr).WithContext(ctx))
			if err == nil {
				res.Body.Close()
			}
		}()
		pw.Write([]byte("some"))
		<-started
		cancel()
		select {
		case err := <-ended:
			if err == nil {
				t.Error("the app took half an upload for a whole one")
			}
		case <-time.After(time.Minute):
			t.Error("the app still waits for a client that is gone")
		}
	})
}

func TestSlowReaderOfALargeBody(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		var sent atomic.Int64
		a := app(t, func(w http.ResponseWriter, r *http.Request) {
			b := make([]byte, 1<<20)
			for range 200 {
				n, err := w.Write(b)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
		s.deploy(shop(addr(a)))
		sent.Store(0)
		res, err := c.Do(request(t, "GET", shopURL, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		// Nobody reads: the app must be held back by its own socket.
		last := int64(-1)
		until(t, "the app is held back", func() bool {
			now := sent.Load()
			still := now == last
			last = now
			time.Sleep(50 * time.Millisecond)
			return still && now > 0
		})
		if last > 100<<20 {
			t.Errorf("%d MiB went somewhere", last>>20)
		}
		if n, err := io.Copy(io.Discard, res.Body); err != nil || n != 200<<20 {
			t.Errorf("then: %d bytes, %v", n, err)
		}
	})
}

// A disk that takes its time, for the state of a deploy or for the access log,
// holds up no request.
func TestRequestsDoNotWaitForTheDisk(t *testing.T) {
	s := start(t)
	path := filepath.Join(s.options.AccessLog, "shop.log")
	// Opening a FIFO waits until somebody reads it.
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	s.deploy(shop(addr(app(t, says("ok")))))
	long := shopURL + strings.Repeat("x", 8000)
	s.WhileSaving(func() {
		for i := range 400 { // three times what the log keeps
			c := s.client
			if i%50 == 0 {
				c = s.newClient(i%100 == 0) // on a connection of its own
			}
			if got := s.doWith(c, request(t, "GET", long, nil)); got.body != "ok" {
				t.Fatalf("request %d: %d %q", i, got.StatusCode, got.body)
			}
		}
	})
	// Once the disk is back, what was kept is there, in order.
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	text, err := io.ReadAll(f)
	f.Close()
	if err := errors.Join(err, <-closed); err != nil {
		t.Error(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if n := len(lines); n < 100 || n > 300 || !slices.IsSorted(lines) {
		t.Errorf("%d lines, in order: %v", n, slices.IsSorted(lines))
	}
}

// An app whose last container ended has no bridge any more. What its visitors send must
// not leave the machine for whoever has that address elsewhere.
func TestTargetsAreOfThisMachine(t *testing.T) {
	s := start(t)
	there := ""
	for _, address := range []string{"198.51.100.7:80", "203.0.113.7:80"} { // TEST-NET-2 and -3, RFC 5737
		if c, err := net.DialTimeout("tcp", address, 100*time.Millisecond); err == nil {
			c.Close()
			there = address // on this network somebody answers for all addresses
		}
		service := shop(address)
		service.Health.Deadline = 2 * time.Second
		var notReady *control.NotReady
		if err := s.Deploy(t.Context(), service); !errors.As(err, &notReady) || notReady.Reason != "nothing accepts connections at "+address {
			t.Errorf("%s: %v", address, err)
		}
	}
	t.Logf("could have been reached: %q", there)
}
