package proxy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
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

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/libdns/rfc2136"
	"github.com/miekg/dns"

	"towline/proxy"
	"towline/proxy/control"
)

// pebble is a real ACME server that reaches the stand's listeners for every name.
type pebble struct {
	*httptest.Server
	store *db.MemoryStore
	front http.Handler // the server itself, for hooks that pass on
	roots string       // PEM file of the roots that the directory is trusted by
	names string       // address of the name server
	ports [2]int
	hook  atomic.Pointer[http.HandlerFunc] // when set, answers in its place
	https net.Listener
	http  net.Listener
}

func newPebble(t *testing.T, eab bool) *pebble {
	t.Helper()
	return newPebbleWithLife(t, eab, 0)
}

// newPebbleWithLife signs for that many seconds. 0: 90 days.
func newPebbleWithLife(t *testing.T, eab bool, life uint64) *pebble {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "30")
	p := &pebble{store: db.NewMemoryStore()}
	for i, l := range []*net.Listener{&p.http, &p.https} {
		var err error
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		p.ports[i] = (*l).Addr().(*net.TCPAddr).Port
	}
	logger := log.New(io.Discard, "", 0)
	authority := ca.New(logger, p.store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: life}})
	p.names = nameServer(t)
	validator := va.New(logger, p.ports[0], p.ports[1], false, p.names, p.store)
	front := wfe.New(logger, p.store, validator, authority, []string{"ca.example"}, false, eab, 1, 1)
	p.front = front.Handler()
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := p.hook.Load(); f != nil {
			(*f)(w, r)
			return
		}
		p.front.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	p.roots = filepath.Join(t.TempDir(), "roots.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	if err := os.WriteFile(p.roots, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// nameServer answers 127.0.0.1 for every name, is the primary of wild.example,
// and takes dynamic updates signed with its key.
func nameServer(t *testing.T) string {
	t.Helper()
	// UDP on the same port, for resolvers that begin with it, if nobody else has that.
	var l net.Listener
	var u net.PacketConn
	err := errors.New("none yet")
	for try := 0; err != nil && try < 20; try++ {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			break
		}
		if u, err = net.ListenPacket("udp", l.Addr().String()); err != nil {
			l.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	texts := map[string][]dns.RR{}
	h := func(w dns.ResponseWriter, r *dns.Msg) {
		mu.Lock()
		defer mu.Unlock()
		m := new(dns.Msg)
		m.SetReply(r)
		name := r.Question[0].Name
		hdr := dns.RR_Header{Name: name, Rrtype: r.Question[0].Qtype, Class: dns.ClassINET, Ttl: 1}
		switch {
		case r.Opcode == dns.OpcodeUpdate && (r.IsTsig() == nil || w.TsigStatus() != nil):
			m.Rcode = dns.RcodeRefused
		case r.Opcode == dns.OpcodeUpdate:
			for _, rr := range r.Ns {
				at := rr.Header().Name
				if rr.Header().Class == dns.ClassINET {
					texts[at] = append(texts[at], rr)
				} else {
					delete(texts, at)
				}
			}
			m.SetTsig("key.", "hmac-sha256.", 300, time.Now().Unix())
		case hdr.Rrtype == dns.TypeTXT:
			m.Answer = texts[name]
		case hdr.Rrtype == dns.TypeSOA && name == "wild.example.":
			m.Answer = append(m.Answer, &dns.SOA{Hdr: hdr, Ns: "ns.wild.example.", Mbox: "ops.wild.example."})
		case hdr.Rrtype == dns.TypeA:
			m.Answer = append(m.Answer, &dns.A{Hdr: hdr, A: net.IPv4(127, 0, 0, 1)})
		}
		w.WriteMsg(m)
	}
	for _, s := range []*dns.Server{{Listener: l}, {PacketConn: u}} {
		s.Handler, s.TsigSecret = dns.HandlerFunc(h), map[string]string{"key.": tsigSecret}
		// miekg/dns refuses updates unless asked not to.
		s.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	return l.Addr().String()
}

const tsigSecret = "c2VjcmV0IGtleSBmb3IgdGVzdHM="

func TestWildcardByDNSChallenge(t *testing.T) {
	p := newPebble(t, false)
	s := start(t, p.configure, func(o *proxy.Options) {
		o.TLS.DNSProvider = &rfc2136.Provider{Server: p.names, KeyName: "key", Key: tsigSecret, KeyAlg: "hmac-sha256"}
		o.TLS.DNSResolvers = []string{p.names}
	})
	s.deploy(service("one", addr(app(t, says("ok"))), "*.wild.example"))
	until(t, "valid", func() bool { return s.certificate("*.wild.example").State == "valid" })
	if leaf := s.leaf("any.wild.example"); leaf.VerifyHostname("any.wild.example") != nil || !strings.Contains(leaf.Issuer.CommonName, "Pebble") {
		t.Errorf("shown %v by %s", leaf.DNSNames, leaf.Issuer)
	}
}

func (p *pebble) configure(o *proxy.Options) {
	o.HTTPListener, o.HTTPSListener = p.http, p.https
	o.TLS = proxy.TLS{ACME: p.URL + "/dir", CARoots: p.roots, HTTPPort: p.ports[0], TLSPort: p.ports[1], FirstRetry: 50 * time.Millisecond}
}

// certificate is the state of one host.
func (s *stand) certificate(host string) control.Certificate {
	s.t.Helper()
	list, err := s.Certificates(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range list {
		if c.Host == host {
			return c
		}
	}
	return control.Certificate{}
}

// leaf is what a client is shown for host.
func (s *stand) leaf(host string) *x509.Certificate {
	s.t.Helper()
	c, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

func service(name, target string, hosts ...string) control.Service {
	return control.Service{Name: name, Hosts: hosts, Targets: []control.Target{{ID: "web.1", Address: target}}}
}

// One name of many is refused; the others get theirs, with bad nonces on the
// way, by either challenge; a local name is signed by the local CA; a restart
// finds all again.
func TestACMECertificates(t *testing.T) {
	p := newPebble(t, false)
	if err := p.store.AddBlockedDomain("blocked.example"); err != nil {
		t.Fatal(err)
	}
	s := start(t, p.configure)
	a := addr(app(t, says("ok")))
	s.deploy(service("one", a, "blocked.example", "a.example", "one.localhost", "*.wild.example"))
	s.deploy(service("two", a, "b.example", "c.example"))
	for _, host := range []string{"a.example", "b.example", "c.example"} {
		until(t, host, func() bool { return s.certificate(host).State == "valid" })
		if leaf := s.leaf(host); !strings.Contains(leaf.Issuer.CommonName, "Pebble") || leaf.VerifyHostname(host) != nil {
			t.Errorf("%s: shown one by %s for %v", host, leaf.Issuer, leaf.DNSNames)
		}
	}
	until(t, "the refusal is told", func() bool { return s.certificate("blocked.example").State == "failing" })
	c := s.certificate("blocked.example")
	if c.Kind != "acme" || !strings.Contains(c.Error, "blocked") && !strings.Contains(c.Error, "policy") || c.Retry.IsZero() {
		t.Errorf("blocked: %+v", c)
	}
	if c := s.certificate("*.wild.example"); !strings.Contains(c.Error, "tls.dns_provider") {
		t.Errorf("wildcard: %+v", c)
	}
	if c := s.certificate("one.localhost"); c.Kind != "local" || c.State != "valid" {
		t.Errorf("local: %+v", c)
	}
	// No name outside the table gets a handshake.
	if _, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{ServerName: "x.example", InsecureSkipVerify: true}); err == nil {
		t.Error("a name that is not routed was served")
	}
	serial := s.leaf("a.example").SerialNumber
	// The CA is gone; what is on disk serves on.
	down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	p.hook.Store(&down)
	s.options.HTTPListener, s.options.HTTPSListener = nil, nil
	for n := range 20 {
		s.restart()
		// The first handshake, not one a moment later.
		if s.leaf("a.example").SerialNumber.Cmp(serial) != 0 {
			t.Fatalf("restart %d: another certificate", n+1)
		}
	}
	if c := s.certificate("a.example"); c.State != "valid" {
		t.Errorf("after the restart: %+v", c)
	}
}

func TestACMEServerThatFailsAtFirst(t *testing.T) {
	p := newPebble(t, false)
	var asked atomic.Int32
	down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(500)
	})
	p.hook.Store(&down)
	s := start(t, p.configure)
	s.deploy(service("one", addr(app(t, says("ok"))), "a.example"))
	until(t, "failing", func() bool { return s.certificate("a.example").State == "failing" })
	// The site is there for its owner, by the local CA.
	if got := s.get("https://a.example/"); got.body != "ok" {
		t.Errorf("meanwhile: %d", got.StatusCode)
	}
	p.hook.Store(nil)
	until(t, "valid in the end", func() bool { return s.certificate("a.example").State == "valid" })
	if c := s.certificate("a.example"); c.Error != "" {
		t.Errorf("the old error is still told: %q", c.Error)
	}
}

func TestExternalAccountBinding(t *testing.T) {
	p := newPebble(t, true)
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	if err := p.store.AddExternalAccountKeyByID("kid-1", key); err != nil {
		t.Fatal(err)
	}
	s := start(t, p.configure, func(o *proxy.Options) { o.TLS.EABKeyID, o.TLS.EABKey = "kid-1", key })
	s.deploy(service("one", addr(app(t, says("ok"))), "a.example"))
	until(t, "valid", func() bool { return s.certificate("a.example").State == "valid" })
}

// A certificate that has expired on disk is served until it is replaced, which
// is at once.
func TestExpiredCertificateInStorage(t *testing.T) {
	p := newPebble(t, false)
	s := start(t, p.configure)
	s.deploy(service("one", addr(app(t, says("ok"))), "a.example"))
	until(t, "first", func() bool { return s.certificate("a.example").State == "valid" })
	s.Proxy.Close()
	expired := time.Now().Add(-time.Hour)
	chain, key := selfSigned(t, expired, "a.example")
	for suffix, text := range map[string][]byte{".crt": chain, ".key": key} {
		files, err := filepath.Glob(filepath.Join(s.options.State, "acme/certificates/*/a.example/a.example"+suffix))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v %v", suffix, files, err)
		}
		if err := os.WriteFile(files[0], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for i, l := range []*net.Listener{&s.options.HTTPListener, &s.options.HTTPSListener} {
		if *l, err = net.Listen("tcp", "127.0.0.1:"+itoa(p.ports[i])); err != nil {
			t.Fatal(err)
		}
	}
	s.open()
	until(t, "renewed", func() bool { return s.leaf("a.example").NotAfter.After(time.Now()) })
	until(t, "and told", func() bool { return s.certificate("a.example").State == "valid" })
}

func TestUploadedCertificates(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("ok")))))
	ctx := context.Background()
	chain, key := selfSigned(t, time.Now().Add(time.Hour), "shop.localhost")
	_, otherKey := selfSigned(t, time.Now().Add(time.Hour), "shop.localhost")
	expired, expiredKey := selfSigned(t, time.Now().Add(-time.Hour), "shop.localhost")
	foreign, foreignKey := selfSigned(t, time.Now().Add(time.Hour), "other.localhost")
	for name, bad := range map[string][2][]byte{
		"key":     {chain, otherKey},
		"expired": {expired, expiredKey},
		"name":    {foreign, foreignKey},
		"rubbish": {[]byte("rubbish"), key},
		"order":   {append(append([]byte{}, chain...), foreign...), key},
		"swapped": {key, chain},
	} {
		err := s.SetCertificate(ctx, "shop.localhost", bad[0], bad[1])
		if _, ok := err.(*control.Invalid); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.SetCertificate(ctx, "nowhere.localhost", chain, key); err == nil {
		t.Error("a host that is not routed was accepted")
	}
	if err := s.SetCertificate(ctx, "shop.localhost", chain, key); err != nil {
		t.Fatal(err)
	}
	check := func(uploaded bool) {
		t.Helper()
		want := map[bool]string{true: "uploaded", false: "local"}[uploaded]
		if got := s.certificate("shop.localhost"); got.Kind != want || got.State != "valid" {
			t.Errorf("state: %+v", got)
		}
		if got := s.leaf("shop.localhost").Issuer.CommonName == "test"; got != uploaded {
			t.Errorf("shown the uploaded one: %v", got)
		}
	}
	check(true)
	s.restart()
	check(true)
	if err := s.DeleteCertificate(ctx, "shop.localhost"); err != nil {
		t.Fatal(err)
	}
	check(false)
}

// A host that an uploaded wildcard served gets a certificate of its own once that is gone.
func TestHostsOfAWildcardThatIsRemoved(t *testing.T) {
	p := newPebble(t, false)
	s := start(t, p.configure)
	a := addr(app(t, says("ok")))
	s.deploy(service("one", a, "*.wild.example"))
	chain, key := selfSigned(t, time.Now().Add(time.Hour), "*.wild.example")
	if err := s.SetCertificate(context.Background(), "*.wild.example", chain, key); err != nil {
		t.Fatal(err)
	}
	s.deploy(service("two", a, "b.wild.example"))
	if c := s.certificate("b.wild.example"); c.Kind != "uploaded" {
		t.Errorf("covered: %+v", c)
	}
	if err := s.DeleteCertificate(context.Background(), "*.wild.example"); err != nil {
		t.Fatal(err)
	}
	until(t, "its own", func() bool {
		c := s.certificate("b.wild.example")
		return c.Kind == "acme" && c.State == "valid"
	})
}
