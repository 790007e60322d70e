package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"towline/e2e/stack"
)

// TestCertificates: a domain that is added gets its certificate from an ACME server
// (pebble), which refuses one name of many and loses a nonce now and then; what it
// signed serves on over a restart of the proxy while it is gone.
func TestCertificates(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	server := newPebble(t, s, "refused.example")
	useACME(t, s, server)
	newApp(t, s, "shop").deploy(usual("one"))
	admin(t, s, "domains:add www.shop.example -a shop")
	admin(t, s, "domains:add refused.example -a shop")
	admin(t, s, "domains:add late.shop.example -a shop")

	for host, want := range map[string]certificate{
		"www.shop.example":  {Kind: "acme", State: "valid"},
		"late.shop.example": {Kind: "acme", State: "valid"},
		"shop.localhost":    {Kind: "local", State: "valid"},
		"refused.example":   {Kind: "acme", State: "failing"},
	} {
		eventually(t, func() string {
			got := certificates(t, s)[host]
			if got.Kind != want.Kind || got.State != want.State || (got.State == "failing") != (got.Error != "") {
				return fmt.Sprintf("%s: %+v", host, got)
			}
			return ""
		})
	}
	server.fetch("https://www.shop.example/")
	server.Close()
	if err := s.RestartProxy(); err != nil {
		t.Fatal(err)
	}
	server.fetch("https://late.shop.example/")
	admin(t, s, "domains:remove late.shop.example -a shop")
	if _, err := server.client.Get("https://late.shop.example/"); err == nil {
		t.Error("a host that was removed is still served")
	}
	admin(t, s, "apps:destroy -a shop --confirm shop")
}

// certificate is one of `certs --json`.
type certificate struct{ Host, Kind, State, Error string }

func certificates(t *testing.T, s *stack.Stack) map[string]certificate {
	t.Helper()
	var list []certificate
	if err := json.Unmarshal([]byte(admin(t, s, "certs -a shop --json")), &list); err != nil {
		t.Fatal(err)
	}
	found := map[string]certificate{}
	for _, c := range list {
		found[c.Host] = c
	}
	return found
}

// useACME has the proxy ask server.
func useACME(t *testing.T, s *stack.Stack, server *pebble) {
	t.Helper()
	text, err := os.ReadFile(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), "[tls]\nacme = \"\"")
	if !found {
		t.Fatal("the stack's configuration has changed")
	}
	changed := fmt.Sprintf("%s[tls]\nacme = %q\nca_roots = %q%s", before, server.URL+"/dir", server.roots, after)
	if err := os.WriteFile(s.Config(), []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.RestartProxy(); err != nil {
		t.Fatal(err)
	}
}

// pebble is the ACME server. It looks for every name at the stack's proxy.
type pebble struct {
	*httptest.Server
	t      *testing.T
	roots  string       // PEM file of what its directory is trusted by
	client *http.Client // of the apps: trusts what it signs, and nothing else
}

// pebbleEnv is what pebble reads of its process's environment: it does not take its time, and
// refuses some requests, as CAs do.
var pebbleEnv = map[string]string{"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "30"}

func newPebble(t *testing.T, s *stack.Stack, refused string) *pebble {
	t.Helper()
	quiet, store := log.New(io.Discard, "", 0), db.NewMemoryStore()
	if err := store.AddBlockedDomain(refused); err != nil {
		t.Fatal(err)
	}
	authority := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	validator := va.New(quiet, s.HTTPPort, s.HTTPSPort, false, nameServer(t), store)
	front := wfe.New(quiet, store, validator, authority, []string{"ca.example"}, false, false, 1, 1)
	p := &pebble{Server: httptest.NewTLSServer(front.Handler()), t: t, roots: filepath.Join(t.TempDir(), "roots.pem")}
	t.Cleanup(p.Close)
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	if err := os.WriteFile(p.roots, own, 0o644); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority.GetRootCert(0).Cert)
	p.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", s.HTTPSPort))
		},
	}}
	return p
}

// fetch reads a page of the app's first release.
func (p *pebble) fetch(url string) {
	p.t.Helper()
	defer p.client.CloseIdleConnections()
	resp, err := p.client.Get(url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.HasPrefix(string(body), "version=one\n") {
		p.t.Errorf("%s: %s: %s %v", url, resp.Status, body, err)
	}
}

// nameServer answers 127.0.0.1 for every name, over TCP, as pebble asks.
func nameServer(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: listener, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(r)
		if q := r.Question[0]; q.Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return listener.Addr().String()
}
