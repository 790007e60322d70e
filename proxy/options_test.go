package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"towline/proxy"
	"towline/proxy/control"
)

func TestOptionsOfAService(t *testing.T) {
	s := start(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	a := app(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "ok %s %s", r.Header.Get("X-Forwarded-For"), r.Header.Get("Authorization"))
	})
	with := func(change func(*control.Options)) func() {
		return func() {
			service := shop(addr(a))
			change(&service.Options)
			s.deploy(service)
		}
	}
	get := func(url string, header ...string) answer {
		r := request(t, "GET", url, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return s.do(r)
	}
	basic := func(user, password string) string {
		r := request(t, "GET", shopURL, nil)
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	check := func(got answer, status int, body string) {
		t.Helper()
		if got.StatusCode != status || !strings.Contains(got.body, body) {
			t.Errorf("got %d %q, want %d %q", got.StatusCode, got.body, status, body)
		}
	}

	with(func(o *control.Options) { o.Auth = map[string]string{"ann": string(hash)} })()
	check(get(shopURL), 401, "")
	check(get(shopURL, "Authorization", basic("ann", "wrong")), 401, "")
	check(get(shopURL, "Authorization", basic("bob", "right")), 401, "")
	check(get(shopURL, "Authorization", "Basic rubbish"), 401, "")
	for range 2 { // the second from memory
		got := get(shopURL, "Authorization", basic("ann", "right"))
		check(got, 200, "ok")
		if strings.Contains(got.body, "Basic") {
			t.Error("the password reached the app")
		}
	}

	with(func(o *control.Options) { o.AllowFrom = []string{"10.0.0.0/8"} })()
	check(get(shopURL), 403, "")
	check(get(shopURL, "X-Forwarded-For", "10.1.1.1"), 403, "")
	with(func(o *control.Options) {
		o.AllowFrom, o.TrustForwarded = []string{"10.0.0.0/8"}, []string{"127.0.0.1"}
	})()
	check(get(shopURL, "X-Forwarded-For", "10.1.1.1"), 200, "ok 10.1.1.1, 127.0.0.1")
	check(get(shopURL, "X-Forwarded-For", "10.1.1.1, 8.8.8.8"), 403, "")

	with(func(o *control.Options) { o.Maintenance = true })()
	check(get(shopURL), 503, "Maintenance")
	with(func(o *control.Options) { o.Maintenance, o.MaintenancePage = true, "<p>soon</p>" })()
	check(get(shopURL), 503, "<p>soon</p>")

	with(func(o *control.Options) { o.Redirects = map[string]string{"www.localhost": "shop.localhost"} })()
	got := get("https://www.localhost/a?b=c")
	if got.StatusCode != 301 || !regexp.MustCompile(`^https://shop\.localhost(:\d+)?/a\?b=c$`).MatchString(got.Header.Get("Location")) {
		t.Errorf("redirect: %d to %q", got.StatusCode, got.Header.Get("Location"))
	}

	with(func(o *control.Options) { o.PlainHTTP = true })()
	check(get("http://shop.localhost/"), 200, "ok")
	with(func(o *control.Options) { o.HSTS = 24 * time.Hour })()
	if h := get(shopURL).Header.Get("Strict-Transport-Security"); h != "max-age=86400" {
		t.Errorf("HSTS: %q", h)
	}
	with(func(o *control.Options) { o.MaxHeader = 1000 })()
	check(get(shopURL, "X-Large", strings.Repeat("x", 2000)), 431, "")
	check(get(shopURL, "X-Large", strings.Repeat("x", 500)), 200, "ok")

	with(func(o *control.Options) { o.Prefix = "/page/" })()
	check(get(shopURL), 404, "")
	check(get(shopURL+"page/one"), 200, "ok")

	service := shop()
	s.deploy(service)
	check(get(shopURL), 503, "")
}

func TestLargeHeaders(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		a := app(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Back", r.Header.Get("X-Large"))
		})
		s.deploy(shop(addr(a)))
		for size, want := range map[int]int{63 << 10: 200, 65 << 10: 431, 300 << 10: 431} {
			r := request(t, "GET", shopURL, nil)
			r.Header.Set("X-Large", strings.Repeat("x", size))
			res, err := c.Do(r)
			if err != nil {
				if size < 256<<10 {
					t.Errorf("%d bytes: %v", size, err)
				}
				continue // h2 clients know the limit and refuse by themselves
			}
			res.Body.Close()
			if res.StatusCode != want || want == 200 && len(res.Header.Get("X-Back")) != size {
				t.Errorf("%d bytes: %d, %d came back", size, res.StatusCode, len(res.Header.Get("X-Back")))
			}
		}
	})
}

func TestSlowClientsAreCutOff(t *testing.T) {
	s := start(t, func(o *proxy.Options) { o.HeaderTimeout = 400 * time.Millisecond; o.KeepAlive = 400 * time.Millisecond })
	service := shop(addr(app(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })))
	service.Options.IdleTimeout = 400 * time.Millisecond
	service.Options.PlainHTTP = true
	s.deploy(service)
	drip := func(c net.Conn, text string) {
		go func() {
			for i := range text {
				if _, err := c.Write([]byte{text[i]}); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
	}
	head := "GET / HTTP/1.1\r\nHost: shop.localhost\r\nX-Slow: " + strings.Repeat("x", 1000)
	for name, begin := range map[string]func() net.Conn{
		"head":          func() net.Conn { c := s.dialPlain(); drip(c, head); return c },
		"head over TLS": func() net.Conn { c := s.dialTLS(); drip(c, head); return c },
		"handshake":     func() net.Conn { c, _ := net.Dial("tcp", s.HTTPSAddr()); drip(c, "\x16\x03\x01\x02\x00\x01"); return c },
		"nothing":       func() net.Conn { return s.dialPlain() },
		"body that stops": func() net.Conn {
			c := s.dialTLS()
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 100\r\n\r\nabc")
			return c
		},
		"chunk that stops": func() net.Conn {
			c := s.dialTLS()
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
			return c
		},
		"http2 without a word": func() net.Conn { return s.dialH2() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := begin()
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Error("still open after 10s")
			}
		})
	}
}

func TestHalfClosedClientGetsItsAnswer(t *testing.T) {
	s := start(t)
	entered, release := make(chan bool), make(chan bool)
	service := shop(addr(app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- true
			<-release
			io.WriteString(w, "late")
		}
	})))
	service.Options.PlainHTTP = true
	s.deploy(service)
	c := s.dialPlain()
	io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	<-entered
	c.(*net.TCPConn).CloseWrite()
	release <- true
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(res.Body); string(b) != "late" {
		t.Errorf("got %q", b)
	}
}

func TestHTTP10AndPipelining(t *testing.T) {
	s := start(t)
	service := shop(addr(app(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush() // so the length is not known
		fmt.Fprint(w, r.URL.Path)
	})))
	service.Options.PlainHTTP = true
	s.deploy(service)
	c := s.dialPlain()
	io.WriteString(c, "GET /old HTTP/1.0\r\nHost: shop.localhost\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !bytes.HasSuffix(b, []byte("\r\n\r\n/old")) || bytes.Contains(b, []byte("chunked")) {
		t.Errorf("HTTP/1.0: %q %v", b, err)
	}
	c = s.dialPlain()
	io.WriteString(c, strings.Repeat("POST /a HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 3\r\n\r\nabc\r\nGET /b HTTP/1.1\r\nHost: SHOP.localhost.:80\r\n\r\n", 20))
	r := bufio.NewReader(c)
	for i := range 40 {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if b, _ := io.ReadAll(res.Body); string(b) != []string{"/a", "/b"}[i%2] {
			t.Errorf("answer %d: %q", i, b)
		}
	}
}

func TestProxyProtocol(t *testing.T) {
	s := start(t, func(o *proxy.Options) { o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	service := shop(addr(app(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("X-Forwarded-For")+" "+r.Header.Get("X-Forwarded-Port"))
	})))
	service.Options.PlainHTTP = true
	s.deploy(service)
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x50\x01\xbb"
	v6 := "\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24" + strings.Repeat("\x00", 15) + "\x01" + strings.Repeat("\x00", 15) + "\x02\x00\x50\x01\xbb"
	for header, want := range map[string]string{
		"PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n":         "1.2.3.4 443",
		"PROXY TCP6 2001:db8::1 2001:db8::2 80 443\r\n": "2001:db8::1 443",
		"PROXY UNKNOWN\r\n":                             "127.0.0.1",
		v2:                                              "1.2.3.4 443",
		v6:                                              "::1 443",
		"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00":        "127.0.0.1",
		"PROXY TCP4 1.2.3.4 5.6.7.8 80\r\n":             "",
		"PROXY TCP4 ::1 ::2 80 443\r\n":                 "",
		"GET / HTTP/1.1\r\nHost: shop.localhost\r\n": "",
		"PROXY " + strings.Repeat("x", 200):          "",
		"\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x0c":     "",
	} {
		c := s.dialPlain()
		io.WriteString(c, header+"GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n")
		b, _ := io.ReadAll(c)
		if want == "" && len(b) > 0 || !strings.Contains(string(b), want) {
			t.Errorf("%.50q: got %q, want %q", header, b, want)
		}
	}
}

func TestAccessLogAndMetrics(t *testing.T) {
	s := start(t, func(o *proxy.Options) { o.AccessLogSize = 2000 })
	s.deploy(shop(addr(app(t, says("hello")))))
	s.get(shopURL + "page?token=secret")
	path := filepath.Join(s.options.AccessLog, "shop.log")
	var text []byte
	lines := func(n int) func() bool {
		return func() bool {
			text, _ = os.ReadFile(path)
			return bytes.Count(text, []byte("\n")) == n
		}
	}
	until(t, "a line", lines(1)) // it is written after the answer
	s.doWith(s.newClient(true), request(t, "POST", shopURL+`q"uote`, nil))
	until(t, "two lines", lines(2))
	line := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stdout F at=info method=GET path="/page" host=shop\.localhost request_id=[0-9a-f-]{36} fwd="127\.0\.0\.1" target=web\.1\.\d+ connect=\d+ms service=\d+ms status=200 bytes=5 protocol=h1\n`)
	if !line.Match(text) {
		t.Errorf("log: %s", text)
	}
	if bytes.Contains(text, []byte("secret")) || !bytes.Contains(text, []byte("protocol=h2")) {
		t.Errorf("log: %s", text)
	}
	for range 20 {
		s.get(shopURL)
	}
	until(t, "rotation", func() bool {
		info, err := os.Stat(path)
		old, err2 := os.Stat(path + ".1")
		return err == nil && err2 == nil && info.Size() < 8000 && old.Size() < 8000
	})
	res, err := http.Get("http://" + s.MetricsAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	metrics, _ := io.ReadAll(res.Body)
	for _, want := range []string{
		`towline_requests_total{service="shop",status="2xx"} 22`,
		`towline_request_duration_seconds_count{service="shop"} 22`,
		`towline_request_duration_seconds_bucket{service="shop",le="+Inf"} 22`,
		`towline_response_bytes_total{service="shop"} 110`,
		`towline_target_up{service="shop"`,
	} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("metrics lack %s:\n%s", want, metrics)
		}
	}
}

// --- control socket ---

func TestControlSocketTakesRubbish(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("ok")))))
	info, err := os.Stat(s.options.Control)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v %v", info.Mode(), err)
	}
	for _, text := range []string{
		"rubbish", "\x00\x01\x02", "GET / HTTP/1.1\r\n\r\n",
		post("deploy", "{"), post("deploy", `{"name":7}`), post("deploy", `[]`), post("deploy", `{"name":"shop"}{"name":"x"}`),
		post("deploy", `{"nonsense":true}`), post("deploy", strings.Repeat("[", 100000)), post("drain", `{"budget":"x"}`),
		post("pause", `{}`), post("remove", `{"service":"../../x"}`), post("setcertificate", `{"host":"shop.localhost"}`),
		post("nonsense", `{}`), "POST /v1/deploy HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{",
	} {
		c, err := net.Dial("unix", s.options.Control)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, text)
		c.(*net.UnixConn).CloseWrite()
		answer, _ := io.ReadAll(c)
		c.Close()
		if bytes.Contains(answer, []byte(" 200 ")) && !strings.Contains(text, "../../x") {
			t.Errorf("%.60q was taken: %s", text, answer)
		}
	}
	if got := s.get(shopURL); got.body != "ok" {
		t.Errorf("afterwards: %d", got.StatusCode)
	}
	if list, err := s.Services(context.Background()); err != nil || len(list) != 1 {
		t.Errorf("afterwards: %v %v", list, err)
	}
}

func post(method, body string) string {
	return fmt.Sprintf("POST /v1/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", method, len(body), body)
}

// FuzzDeploy: whatever the daemon sends, the proxy neither fails nor forgets
// what it serves.
func FuzzDeploy(f *testing.F) {
	f.Add([]byte(`{"name":"a","hosts":["a.localhost"],"targets":[],"options":{"redirects":{"b":"c"}}}`))
	f.Add([]byte(`{"name":"shop"}`))
	f.Add([]byte(`{"name":"a","targets":[{"id":"x","address":"127.0.0.1:1"}],"health":{"deadline":1,"interval":-1}}`))
	s := start(f)
	keep := shop()
	keep.Name, keep.Hosts = "keep", []string{"keep.localhost"}
	s.deploy(keep)
	h := control.Handler(s)
	f.Fuzz(func(t *testing.T, body []byte) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "POST", "/v1/deploy", bytes.NewReader(body))
		if err != nil {
			t.Skip()
		}
		h.ServeHTTP(&discard{h: http.Header{}}, r)
		res, err := s.client.Get("https://keep.localhost/")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 503 {
			t.Errorf("keep.localhost answers %d", res.StatusCode)
		}
	})
}

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

func TestHealthCheckExpectsItsStatus(t *testing.T) {
	s := start(t)
	service := shop(addr(app(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })))
	service.Health = control.Health{Path: "/", Deadline: 2 * time.Second}
	var notReady *control.NotReady
	if err := s.Deploy(t.Context(), service); !errors.As(err, &notReady) || notReady.Reason != "GET / answered 401" {
		t.Errorf("any good status: %v", err)
	}
	service.Health.Status, service.Health.Deadline = []int{200, 401}, time.Minute
	if err := s.Deploy(t.Context(), service); err != nil {
		t.Errorf("401 expected: %v", err)
	}
}
