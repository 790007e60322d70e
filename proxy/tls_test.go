package proxy_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"towline/proxy"
)

// hello shakes hands as config says, and returns the connection, closed.
func (s *stand) hello(config *tls.Config) (tls.ConnectionState, error) {
	s.t.Helper()
	if config.RootCAs == nil {
		config.RootCAs = s.tlsConfig().RootCAs
	}
	c, err := tls.Dial("tcp", s.HTTPSAddr(), config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	return c.ConnectionState(), nil
}

// The alert is of RFC 6066, section 3.
func TestNameThatIsNotRoutedGetsItsAlert(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("ok")))))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, name := range []string{"other.localhost", ""} {
			_, err := s.hello(&tls.Config{ServerName: name, InsecureSkipVerify: true, MaxVersion: version})
			if err == nil || !strings.Contains(err.Error(), "remote error: tls: unrecognized name") {
				t.Errorf("%s, %q: got %v", tls.VersionName(version), name, err)
			}
		}
	}
}

func TestProtocolsAndSuitesOffered(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("ok")))))
	for offered, want := range map[string]string{"": "", "http/1.0": "http/1.0", "http/1.1": "http/1.1", "http/1.0 http/1.1": "http/1.1", "http/1.1 h2": "h2"} {
		got, err := s.hello(&tls.Config{ServerName: "shop.localhost", NextProtos: strings.Fields(offered)})
		if err != nil || got.NegotiatedProtocol != want {
			t.Errorf("%q: got %q, %v", offered, got.NegotiatedProtocol, err)
		}
	}
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		modern := strings.Contains(suite.Name, "ECDHE_") && (strings.Contains(suite.Name, "GCM") || strings.Contains(suite.Name, "POLY1305"))
		if !strings.Contains(suite.Name, "ECDSA") {
			continue // the certificate is of that kind
		}
		_, err := s.hello(&tls.Config{ServerName: "shop.localhost", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
		if modern != (err == nil) {
			t.Errorf("%s: %v", suite.Name, err)
		}
	}
}

// HTTP/1.0 as curl --http1.0 speaks it: by ALPN, and then on the wire.
func TestHTTP10OverTLS(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("ok")))))
	config := s.tlsConfig()
	config.ServerName, config.NextProtos = "shop.localhost", []string{"http/1.0"}
	c, err := tls.Dial("tcp", s.HTTPSAddr(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.0\r\nHost: shop.localhost\r\n\r\n")
	text, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(text), " 200 ") || !strings.HasSuffix(string(text), "ok") {
		t.Errorf("got %q, %v", text, err)
	}
}

// A client may name as many hosts under a wildcard as it likes.
func TestWildcardHasOneCertificate(t *testing.T) {
	s := start(t)
	a := addr(app(t, says("ok")))
	s.deploy(service("one", a, "*.wild.test", "exact.wild.test"))
	first, exact := s.leaf("a.wild.test"), s.leaf("exact.wild.test")
	for n := range 20 {
		name := fmt.Sprintf("n%d.wild.test", n)
		if leaf := s.leaf(name); leaf.SerialNumber.Cmp(first.SerialNumber) != 0 || leaf.VerifyHostname(name) != nil {
			t.Errorf("%s: another certificate, for %v", name, leaf.DNSNames)
		}
	}
	if exact.SerialNumber.Cmp(first.SerialNumber) == 0 || exact.DNSNames[0] != "exact.wild.test" {
		t.Errorf("the exact host has %v", exact.DNSNames)
	}
	// OpenSSL takes no *.localhost.
	s.deploy(service("top", a, "*.localhost"))
	if leaf := s.leaf("a.localhost"); leaf.DNSNames[0] != "a.localhost" {
		t.Errorf("below a top-level name: %v", leaf.DNSNames)
	}
}

// Proxies in front are believed for every service, others for none.
func TestTrustOfTheHost(t *testing.T) {
	for _, trusted := range []string{"127.0.0.0/8", "192.0.2.0/24"} {
		s := start(t, func(o *proxy.Options) { o.TrustForwarded = []netip.Prefix{netip.MustParsePrefix(trusted)} })
		spec := shop(addr(app(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("X-Forwarded-For")) })))
		s.deploy(spec)
		r := request(t, "GET", shopURL, nil)
		r.Header.Set("X-Forwarded-For", "198.51.100.7")
		want := map[bool]string{true: "198.51.100.7, 127.0.0.1", false: "127.0.0.1"}[trusted == "127.0.0.0/8"]
		if got := s.do(r); got.body != want {
			t.Errorf("%s: the app is told %q, want %q", trusted, got.body, want)
		}
		spec.Options.AllowFrom = []string{"198.51.100.0/24"}
		s.deploy(spec)
		r = request(t, "GET", shopURL, nil)
		r.Header.Set("X-Forwarded-For", "198.51.100.7")
		if got := s.do(r); (got.StatusCode == 200) != (trusted == "127.0.0.0/8") {
			t.Errorf("%s: %d", trusted, got.StatusCode)
		}
	}
}

// A balancer sees whether anybody listens by connecting and closing, every
// second and for ever.
func TestBalancersCheckLogsNothing(t *testing.T) {
	var log lockedBuffer
	s := start(t, func(o *proxy.Options) {
		o.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	for _, address := range []string{s.HTTPAddr(), s.HTTPSAddr()} {
		for _, reset := range []bool{false, true} {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			if reset {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			c.Close()
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
		_, _ = io.ReadAll(c)
		c.Close()
	}
	// What is wrong is said, once each, and comes after the checks.
	until(t, "the log", func() bool { return strings.Count(log.String(), "malformed") == 2 })
	_ = s.Close()
	if text := log.String(); strings.Count(text, "WARN") != 2 {
		t.Errorf("logged:\n%s", text)
	}
}
