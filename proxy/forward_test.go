package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// both runs a test over HTTP/1.1 and over HTTP/2.
func both(t *testing.T, f func(t *testing.T, s *stand, c *http.Client)) {
	for _, h2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "h1", true: "h2"}[h2], func(t *testing.T) {
			s := start(t)
			f(t, s, s.newClient(h2))
		})
	}
}

func request(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const shopURL = "https://shop.localhost/"

func TestHeadersAreHandedOnAndHopByHopOnesAreNot(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		var seen http.Header
		a := app(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("User-Agent") == "towline-health" {
				return
			}
			seen = r.Header.Clone()
			h := w.Header()
			h.Set("X-Custom", "v")
			h.Add("Set-Cookie", "a=1")
			h.Add("Set-Cookie", "b=2")
			h.Set("Keep-Alive", "timeout=5")
			h.Set("Proxy-Authenticate", "x")
			w.WriteHeader(201)
		})
		s.deploy(shop(addr(a)))
		r := request(t, "GET", shopURL, nil)
		r.Header.Set("X-Mine", "yes")
		r.Header.Set("Te", "trailers")
		r.Header.Set("Proxy-Authorization", "secret")
		r.Header.Set("X-Forwarded-For", "6.6.6.6")
		r.Header.Set("X-Forwarded-Proto", "gopher")
		r.Header.Set("Forwarded", "for=6.6.6.6")
		r.Header.Set("X_Forwarded_For", "6.6.6.6")
		r.Header.Set("X-Real-Ip", "6.6.6.6")
		r.Header.Set("X-Request-Id", "0123456789-abcdefghij")
		r.Header.Set("Cookie", "k=v; l=w")
		got := s.doWith(c, r)
		if got.StatusCode != 201 || got.Header.Get("X-Custom") != "v" || len(got.Header["Set-Cookie"]) != 2 {
			t.Errorf("answer: %d %v", got.StatusCode, got.Header)
		}
		for _, gone := range []string{"Keep-Alive", "Proxy-Authenticate"} {
			if got.Header.Get(gone) != "" {
				t.Errorf("%s reached the client", gone)
			}
		}
		want := map[string]string{
			"X-Mine": "yes", "Te": "trailers", "Proxy-Authorization": "", "X-Forwarded-For": "127.0.0.1",
			"X-Forwarded-Proto": "https", "Forwarded": "", "X_forwarded_for": "", "X-Real-Ip": "",
			"X-Request-Id": "0123456789-abcdefghij", "Cookie": "k=v; l=w", "X-Forwarded-Host": "shop.localhost",
		}
		for name, value := range want {
			if seen.Get(name) != value {
				t.Errorf("%s: app saw %q, want %q", name, seen.Get(name), value)
			}
		}
		if seen.Get("X-Request-Start") == "" || seen.Get("X-Forwarded-Port") == "" {
			t.Errorf("app saw %v", seen)
		}
	})
}

func TestBodiesOfEveryFraming(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		a := app(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/echo":
				http.NewResponseController(w).EnableFullDuplex()
				io.Copy(w, r.Body)
			case "/sum":
				h := sha256.New()
				n, _ := io.Copy(h, r.Body)
				fmt.Fprintf(w, "%d %x", n, h.Sum(nil))
			case "/empty":
				w.WriteHeader(204)
			case "/notmodified":
				w.Header().Set("Etag", `"x"`)
				w.WriteHeader(304)
			case "/trailers":
				w.Header().Set("Trailer", "X-Sum")
				io.WriteString(w, "body")
				w.(http.Flusher).Flush()
				w.Header().Set("X-Sum", r.Trailer.Get("X-Client"))
			case "/trailers/echo":
				io.Copy(io.Discard, r.Body)
				w.Header().Set("X-Got", r.Trailer.Get("X-Client"))
			case "/large":
				w.Write(bytes.Repeat([]byte("0123456789abcdef"), 1<<16))
			}
		})
		s.deploy(shop(addr(a)))
		for _, size := range []int{0, 1, 100, 16 << 10, 64 << 10, 1 << 20} {
			body := bytes.Repeat([]byte("x"), size)
			for _, known := range []bool{true, false} {
				r := request(t, "POST", shopURL+"echo", bytes.NewReader(body))
				if !known {
					r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), -1
				}
				if got := s.doWith(c, r); got.body != string(body) {
					t.Errorf("echo of %d bytes, length known %v: got %d bytes", size, known, len(got.body))
				}
			}
		}
		if got := s.doWith(c, request(t, "GET", shopURL+"large", nil)); len(got.body) != 1<<20 {
			t.Errorf("large: got %d bytes", len(got.body))
		}
		if got := s.doWith(c, request(t, "HEAD", shopURL+"large", nil)); got.body != "" || got.StatusCode != 200 {
			t.Errorf("HEAD: got %d, %d bytes", got.StatusCode, len(got.body))
		}
		if got := s.doWith(c, request(t, "GET", shopURL+"empty", nil)); got.StatusCode != 204 {
			t.Errorf("204: got %d", got.StatusCode)
		}
		if got := s.doWith(c, request(t, "GET", shopURL+"notmodified", nil)); got.StatusCode != 304 || got.Header.Get("Etag") != `"x"` {
			t.Errorf("304: got %d %v", got.StatusCode, got.Header)
		}
		if got := s.doWith(c, request(t, "GET", shopURL+"trailers", nil)); got.body != "body" {
			t.Errorf("trailers: got %q", got.body)
		}
		r := request(t, "POST", shopURL+"trailers/echo", io.NopCloser(strings.NewReader("b")))
		r.Trailer = http.Header{"X-Client": {"sum"}}
		if got := s.doWith(c, r); got.Header.Get("X-Got") != "sum" {
			t.Errorf("request trailer: app got %q", got.Header.Get("X-Got"))
		}
	})
}

func TestResponseTrailersReachTheClient(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		a := app(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "body")
			w.Header().Set("X-Sum", "42")
		})
		s.deploy(shop(addr(a)))
		if got := s.doWith(c, request(t, "GET", shopURL, nil)); got.Trailer.Get("X-Sum") != "42" {
			t.Errorf("got trailers %v", got.Trailer)
		}
	})
}

func TestExpectContinueAndEarlyHints(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		a := app(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(103)
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, r.Header.Get("Expect"))
		})
		s.deploy(shop(addr(a)))
		c.Transport.(*http.Transport).ExpectContinueTimeout = 20 * time.Second
		hints := 0
		r := request(t, "POST", shopURL, strings.NewReader(strings.Repeat("x", 5000)))
		r.Header.Set("Expect", "100-continue")
		r = r.WithContext(httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if code == 103 && h.Get("Link") != "" {
					hints++
				}
				return nil
			}}))
		if got := s.doWith(c, r); got.body != "5000" || hints != 1 {
			t.Errorf("got %q, %d hints", got.body, hints)
		}
	})
}

func TestServerSentEventsArriveAtOnce(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		next := make(chan string)
		a := app(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/events" {
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			for m := range next {
				fmt.Fprintf(w, "data: %s\n\n", m)
				w.(http.Flusher).Flush()
			}
		})
		s.deploy(shop(addr(a)))
		go func() { next <- "0" }()
		res, err := c.Do(request(t, "GET", shopURL+"events", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		lines := bufio.NewReader(res.Body)
		for i := range 5 {
			line, err := lines.ReadString('\n')
			if err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("event %d: %q, %v", i, line, err)
			}
			lines.ReadString('\n')
			// The next is made only once this one has arrived.
			if i < 4 {
				next <- fmt.Sprint(i + 1)
			}
		}
		close(next)
	})
}

func TestBothDirectionsStreamAtOnce(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		a := app(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != "POST" {
				return
			}
			http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			b := make([]byte, 100)
			for {
				n, err := r.Body.Read(b)
				w.Write(bytes.ToUpper(b[:n]))
				w.(http.Flusher).Flush()
				if err != nil {
					return
				}
			}
		})
		s.deploy(shop(addr(a)))
		pr, pw := io.Pipe()
		r := request(t, "POST", shopURL, pr)
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b := make([]byte, 3)
		for range 3 {
			io.WriteString(pw, "abc")
			if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != "ABC" {
				t.Fatalf("got %q, %v", b, err)
			}
		}
		pw.Close()
		if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
			t.Errorf("end: %q, %v", rest, err)
		}
	})
}

// A target that answers before it has read the upload, and closes.
func TestEarlyAnswerReachesTheClient(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		a := app(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				w.Header().Set("Connection", "close")
				w.WriteHeader(403)
				io.WriteString(w, "no")
			}
		})
		s.deploy(shop(addr(a)))
		r := request(t, "POST", shopURL, io.MultiReader(strings.NewReader(strings.Repeat("x", 100<<10)), &endless{}))
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		res, err := c.Do(r.WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if res.StatusCode != 403 || string(body) != "no" || err != nil {
			t.Errorf("got %d %q %v", res.StatusCode, body, err)
		}
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestUploadsLargerThanMemoryAreNotGathered(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		var got atomic.Int64
		a := app(t, func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			got.Store(n)
		})
		s.deploy(shop(addr(a)))
		const size = 64 << 20
		r := request(t, "PUT", shopURL, io.LimitReader(endless{}, size))
		r.ContentLength = size
		s.doWith(c, r)
		if got.Load() != size {
			t.Errorf("app got %d bytes", got.Load())
		}
	})
}

func TestMaxBodyRefusesBothFramings(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		a := app(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
		service := shop(addr(a))
		service.Options.MaxBody = 1000
		s.deploy(service)
		if got := s.doWith(c, request(t, "POST", shopURL, strings.NewReader(strings.Repeat("x", 1001)))); got.StatusCode != 413 {
			t.Errorf("known length: %d", got.StatusCode)
		}
		if got := s.doWith(c, request(t, "POST", shopURL, io.NopCloser(strings.NewReader(strings.Repeat("x", 70000))))); got.StatusCode != 413 {
			t.Errorf("chunked: %d", got.StatusCode)
		}
		if got := s.doWith(c, request(t, "POST", shopURL, strings.NewReader(strings.Repeat("x", 1000)))); got.StatusCode != 200 {
			t.Errorf("at the limit: %d", got.StatusCode)
		}
	})
}

// A body of HTTP/2 need not say its length, and may all have come with the head.
func TestMaxBodyRefusesAWholeBodyWithoutALength(t *testing.T) {
	s := start(t)
	service := shop(addr(app(t, says("ok"))))
	service.Options.MaxBody = 100
	s.deploy(service)
	for size, want := range map[int]string{100: "status 200", 101: "status 413", 15 << 10: "status 413"} {
		for range 5 {
			c := s.dialH2()
			var b bytes.Buffer
			f := http2.NewFramer(&b, nil)
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: headers([][2]string{{":method!", "POST"}})})
			f.WriteData(1, true, make([]byte, size))
			c.Write(b.Bytes())
			if got := c.outcome(1); got != want {
				t.Fatalf("%d bytes: %s, not %s", size, got, want)
			}
			c.Close()
		}
	}
}
