package proxy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/proxy"
	"towline/proxy/control"
)

// stand is a proxy on port 0 with a client that trusts its CA and takes every
// name to it.
type stand struct {
	*proxy.Proxy
	t       testing.TB
	options proxy.Options
	client  *http.Client
	panics  int64 // that the test provokes
}

func start(t testing.TB, change ...func(*proxy.Options)) *stand {
	t.Helper()
	dir := t.TempDir()
	s := &stand{t: t, options: proxy.Options{
		HTTP: "127.0.0.1:0", HTTPS: "127.0.0.1:0", Metrics: "127.0.0.1:0",
		Control:   filepath.Join(dir, "control.sock"),
		State:     filepath.Join(dir, "state"),
		AccessLog: filepath.Join(dir, "log"),
		Log:       slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
	for _, f := range change {
		f(&s.options)
	}
	s.open()
	return s
}

func (s *stand) open() {
	s.t.Helper()
	p, err := proxy.Start(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Proxy = p
	s.client = s.newClient(false)
	s.t.Cleanup(func() {
		p.Close()
		if n := p.Panics(); n != s.panics {
			s.t.Errorf("the proxy had %d panics, expected %d", n, s.panics)
		}
	})
}

// restart stops the proxy and starts another on the same state.
func (s *stand) restart() {
	s.t.Helper()
	s.Proxy.Close()
	s.open()
}

func (s *stand) tlsConfig() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.RootCertificate())
	return &tls.Config{RootCAs: roots}
}

// newClient follows no redirect and resolves every name to the proxy.
func (s *stand) newClient(h2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	tr := &http.Transport{
		TLSClientConfig: s.tlsConfig(),
		Protocols:       protocols,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			to := s.HTTPSAddr()
			if strings.HasSuffix(address, ":80") {
				to = s.HTTPAddr()
			}
			var d net.Dialer
			return d.DialContext(ctx, "tcp", to)
		},
	}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}
}

// app starts a target.
func app(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

func addr(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

// shop is a service at shop.localhost.
func shop(targets ...string) control.Service {
	s := control.Service{Name: "shop", Hosts: []string{"shop.localhost"}}
	for i, a := range targets {
		s.Targets = append(s.Targets, control.Target{ID: fmt.Sprintf("web.%d.%s", i+1, a[strings.LastIndex(a, ":")+1:]), Address: a})
	}
	return s
}

func (s *stand) deploy(service control.Service) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Deploy(ctx, service); err != nil {
		s.t.Fatal(err)
	}
}

// answer is a response whose body has been read.
type answer struct {
	*http.Response
	body string
}

func (s *stand) get(url string) answer {
	s.t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.do(r)
}

func (s *stand) do(r *http.Request) answer {
	s.t.Helper()
	return s.doWith(s.client, r)
}

func (s *stand) doWith(c *http.Client, r *http.Request) answer {
	s.t.Helper()
	res, err := c.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{res, string(body)}
}

// until polls tightly for what is about to happen.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestARequestReachesItsApp(t *testing.T) {
	s := start(t)
	a := app(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-App", "yes")
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, r.Host)
	})
	s.deploy(shop(addr(a)))
	got := s.get("https://shop.localhost/path?q=1")
	if got.StatusCode != 200 || got.body != "GET /path?q=1 shop.localhost" || got.Header.Get("X-App") != "yes" {
		t.Errorf("got %d %q", got.StatusCode, got.body)
	}
	// Twice on one connection.
	if got = s.get("https://shop.localhost/"); got.body != "GET / shop.localhost" {
		t.Errorf("second: got %q", got.body)
	}
	if got = s.get("http://shop.localhost/x?y"); got.StatusCode != 301 || !strings.HasPrefix(got.Header.Get("Location"), "https://shop.localhost:") || !strings.HasSuffix(got.Header.Get("Location"), "/x?y") {
		t.Errorf("plain: got %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	if got = s.get("http://other.localhost/"); got.StatusCode != 404 {
		t.Errorf("unknown host: got %d", got.StatusCode)
	}
}
