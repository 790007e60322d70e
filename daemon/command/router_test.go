package command

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/machine"
	"towline/daemon/router"
	"towline/proxy"
	"towline/proxy/control"
)

// servedBench is a bench whose router is a real proxy, over its control socket, with an
// app shop that serves "served".
func servedBench(t *testing.T) (*bench, *proxy.Proxy) {
	t.Helper()
	dir := t.TempDir()
	p, err := proxy.Start(proxy.Options{HTTP: "127.0.0.1:0", HTTPS: "127.0.0.1:0", Control: filepath.Join(dir, "control.sock"),
		State: filepath.Join(dir, "state"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	client := control.NewClient(p.ControlAddr())
	t.Cleanup(func() { client.Close(); p.Close() })
	b := newBench(t, func(o *machine.Options) { o.Router = router.New(client) })
	b.run(0, "apps:create", "shop")
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "served")
	}))
	t.Cleanup(target.Close)
	err = p.Deploy(t.Context(), control.Service{Name: "shop", Hosts: []string{"shop.example.test"},
		Targets: []control.Target{{ID: "web.1", Address: strings.TrimPrefix(target.URL, "http://")}}})
	if err != nil {
		t.Fatal(err)
	}
	return b, p
}

// visit asks the proxy for a URL, and returns status, headers and body.
func visit(t *testing.T, p *proxy.Proxy, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			to := p.HTTPSAddr()
			if strings.HasSuffix(address, ":80") {
				to = p.HTTPAddr()
			}
			var d net.Dialer
			return d.DialContext(ctx, "tcp", to)
		},
	}
	defer tr.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if len(header) == 2 {
		r.Header.Set(header[0], header[1])
	}
	if user, password, ok := strings.Cut(strings.Join(header, ""), "="); ok && len(header) == 1 {
		r.SetBasicAuth(user, password)
	}
	res, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

func wantStatus(t *testing.T, what string, res *http.Response, status int) {
	t.Helper()
	if res.StatusCode != status {
		t.Errorf("%s: %d, want %d", what, res.StatusCode, status)
	}
}

const shopAt = "https://shop.example.test/"

// What router:set says is what visitors meet, and what router shows.
func TestRouterSet(t *testing.T) {
	b, p := servedBench(t)
	get := func(header ...string) *http.Response {
		t.Helper()
		res, _ := visit(t, p, "GET", shopAt, "", header...)
		return res
	}
	wantStatus(t, "before", get(), 200)
	want(t, b.run(0, "router", "-a", "shop").out, "response-timeout:   30s", "body:               unlimited", "header:             64.0 KiB", "allow:              everyone", "login:              none")

	b.run(0, "router:set", "-a", "shop", "body=1K", "header=2K", "response-timeout=2s", "idle-timeout=3m", "http=on", "hsts=24h")
	want(t, b.run(0, "router", "-a", "shop").out, "response-timeout:   2s", "idle-timeout:       3m0s", "body:               1.0 KiB", "header:             2.0 KiB", "http:               on", "hsts:               24h0m0s")
	res, _ := visit(t, p, "POST", shopAt, strings.Repeat("x", 2000))
	wantStatus(t, "large body", res, 413)
	wantStatus(t, "large header", get("X-Large", strings.Repeat("x", 3000)), 431)
	if res := get(); res.Header.Get("Strict-Transport-Security") != "max-age=86400" {
		t.Errorf("HSTS: %q", res.Header.Get("Strict-Transport-Security"))
	}
	res, _ = visit(t, p, "GET", "http://shop.example.test/", "")
	wantStatus(t, "plain HTTP", res, 200)

	b.run(0, "router:set", "-a", "shop", "allow=192.0.2.0/24,198.51.100.7")
	wantStatus(t, "from elsewhere", get(), 403)
	b.run(0, "router:unset", "-a", "shop", "allow", "header", "http")
	wantStatus(t, "from anywhere", get(), 200)

	// A login: the password is nowhere but in a hash.
	const password = "correct horse"
	r := b.ask(Request{Args: []string{"router:set", "login=ann", "-a", "shop"}, Stdin: strings.NewReader(password + "\n")})
	if r.code != 0 {
		t.Fatal(r)
	}
	want(t, r.out, "login:              ann")
	wantStatus(t, "without a login", get(), 401)
	wantStatus(t, "wrong", get("ann=wrong"), 401)
	wantStatus(t, "right", get("ann="+password), 200)
	shown := b.run(0, "router", "-a", "shop", "--json").out
	wantNone(t, r.out+r.errors+shown, "$2a$", password)
	var view struct{ Logins []string }
	if err := json.Unmarshal([]byte(shown), &view); err != nil || !slices.Equal(view.Logins, []string{"ann"}) {
		t.Errorf("%v, %v", view, err)
	}
	for _, name := range []string{"towline.db", "towline.db-wal"} {
		if text, err := os.ReadFile(filepath.Join(b.d.Dir, name)); err == nil && strings.Contains(string(text), password) {
			t.Errorf("the password is in %s", name)
		}
	}
	b.run(3, "router:unset", "-a", "shop", "login=bob")
	b.run(0, "router:unset", "-a", "shop", "login=ann")
	wantStatus(t, "no login any more", get(), 200)

	// Refused words change nothing.
	before := b.run(0, "router", "-a", "shop").out
	for _, word := range []string{"body", "body=lots", "body=-1", "header=1", "header=1G", "idle-timeout=5", "idle-timeout=1000h", "allow=everyone", "http=perhaps", "nothing=1", "login=", "login=a:b", "login=ann"} {
		b.run(2, "router:set", "-a", "shop", "response-timeout=9s", word)
	}
	if after := b.run(0, "router", "-a", "shop").out; after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	// What is set shows while the proxy is away, and what is set then is served later.
	p.Close()
	r = b.run(0, "router", "-a", "shop")
	want(t, r.out, "response-timeout:   2s")
	want(t, r.errors, "the proxy does not answer")
	want(t, b.run(7, "router:set", "body=2K", "-a", "shop").errors, "is served as soon as the proxy is back")
	want(t, b.run(0, "router", "-a", "shop").out, "body:               2.0 KiB")
	// A later app of the name has none of it.
	b.write(func(tx daemon.Tx) error { return tx.DeleteApp("shop") })
	b.run(0, "apps:create", "shop")
	want(t, b.run(0, "router", "-a", "shop").out, "response-timeout:   30s", "body:               unlimited")
}

func TestDomainsRedirect(t *testing.T) {
	b, p := servedBench(t)
	b.run(0, "domains:redirect", "www.shop.test", "shop.example.test", "-a", "shop")
	want(t, b.run(0, "domains", "-a", "shop").out, "www.shop.test  leads to shop.example.test")
	want(t, b.run(0, "router", "-a", "shop").out, "leads to shop.example.test")
	res, _ := visit(t, p, "GET", "https://www.shop.test/page?q=1", "")
	wantStatus(t, "redirected", res, 301)
	if to := res.Header.Get("Location"); !strings.HasPrefix(to, "https://shop.example.test") || !strings.HasSuffix(to, "/page?q=1") {
		t.Errorf("to %q", to)
	}
	b.run(3, "domains:redirect", "a.shop.test", "nowhere.test", "-a", "shop")
	b.run(2, "domains:redirect", "a.shop.test", "www.shop.test", "-a", "shop")
	b.run(2, "domains:redirect", "shop.example.test", "www.shop.test", "-a", "shop")
	b.run(2, "domains:redirect", "*.shop.test", "www.shop.test", "-a", "shop")
	wantNone(t, b.run(0, "domains", "-a", "shop").out, "a.shop.test") // what is refused adds nothing
	b.run(0, "domains:redirect", "www.shop.test", "-a", "shop")
	res, body := visit(t, p, "GET", "https://www.shop.test/", "")
	if wantStatus(t, "serves again", res, 200); body != "served" {
		t.Errorf("body %q", body)
	}
	b.run(0, "domains:redirect", "old.shop.test", "www.shop.test", "-a", "shop")
	want(t, b.run(6, "domains:remove", "www.shop.test", "-a", "shop").errors, "old.shop.test is redirected to www.shop.test")
	b.run(0, "domains:remove", "old.shop.test", "-a", "shop")
	b.run(0, "domains:remove", "www.shop.test", "-a", "shop")
}

func TestMaintenancePage(t *testing.T) {
	b, p := servedBench(t)
	r := b.ask(Request{Args: []string{"maintenance:page", "-a", "shop"}, Stdin: strings.NewReader("<h1>Back at noon</h1>")})
	if r.code != 0 {
		t.Fatal(r)
	}
	want(t, r.out, "maintenance:        off, a page of its own, 21 B")
	b.run(0, "maintenance:on", "-a", "shop")
	if res, body := visit(t, p, "GET", shopAt, ""); res.StatusCode != 503 || body != "<h1>Back at noon</h1>" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	b.run(2, "maintenance:page", "-a", "shop")
	r = b.ask(Request{Args: []string{"maintenance:page", "-a", "shop"}, Stdin: strings.NewReader(strings.Repeat("x", daemon.MaxMaintenancePage+1))})
	if r.code != 2 {
		t.Errorf("a page without end: %+v", r)
	}
	b.run(0, "maintenance:page", "--default", "-a", "shop")
	if _, body := visit(t, p, "GET", shopAt, ""); strings.Contains(body, "noon") {
		t.Error("the page is still there")
	}
	b.run(0, "maintenance:off", "-a", "shop")
}

// ownCertificate makes one by "me", PEM.
func ownCertificate(t *testing.T, host string, notAfter time.Time) (chain, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "me"}, DNSNames: []string{host},
		NotBefore: notAfter.Add(-48 * time.Hour), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))
}

func TestCertsAdd(t *testing.T) {
	b, p := servedBench(t)
	const host = "shop.example.test"
	add := func(host, text string) result {
		return b.ask(Request{Args: []string{"certs:add", host, "-a", "shop"}, Stdin: strings.NewReader(text)})
	}
	issuer := func() string {
		res, _ := visit(t, p, "GET", shopAt, "")
		return res.TLS.PeerCertificates[0].Issuer.CommonName
	}
	chain, key := ownCertificate(t, host, time.Now().Add(20*time.Hour))
	_, otherKey := ownCertificate(t, host, time.Now().Add(20*time.Hour))
	old, oldKey := ownCertificate(t, host, time.Now().Add(-time.Hour))
	foreign, foreignKey := ownCertificate(t, "www.other.test", time.Now().Add(20*time.Hour))
	for what, text := range map[string]string{
		"private key does not match": chain + otherKey, "expired on": old + oldKey, "does not cover": foreign + foreignKey,
		"holds no private key": chain, "holds no certificate": key, "more than one private key": chain + key + otherKey,
		"after the last PEM block": chain + key + "rubbish",
	} {
		r := add(host, text)
		if r.code != 2 || !strings.Contains(r.errors, what) {
			t.Errorf("%s: %d %s", what, r.code, r.errors)
		}
		wantNone(t, r.errors, "PRIVATE KEY-----")
	}
	if r := add("www.other.test", foreign+foreignKey); r.code != 3 {
		t.Errorf("a host of nobody's: %+v", r)
	}
	if got := issuer(); got == "me" {
		t.Error("a refused certificate is served")
	}
	b.run(3, "certs:remove", host, "-a", "shop")

	// The order on standard input does not matter.
	if r := add(host, key+chain); r.code != 0 {
		t.Fatal(r)
	}
	if got := issuer(); got != "me" {
		t.Errorf("served by %s", got)
	}
	want(t, b.run(0, "certs", "-a", "shop").out, "uploaded  valid", "add its successor")
	want(t, b.run(0, "router", "-a", "shop").out, "uploaded certificate")
	// Its end is near: the app's log says so.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() { b.d.Routes.WatchCertificates(ctx); close(ended) }()
	for end := time.Now().Add(time.Minute); !strings.Contains(b.run(0, "logs", "-a", "shop").out, "add its successor"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the log says nothing")
		}
	}
	cancel()
	<-ended
	b.run(0, "certs:remove", host, "-a", "shop")
	if got := issuer(); got == "me" {
		t.Error("a removed certificate is served")
	}
	// A host that is removed takes its key along.
	wwwChain, wwwKey := ownCertificate(t, "www.shop.test", time.Now().Add(20*time.Hour))
	b.run(0, "domains:add", "www.shop.test", "-a", "shop")
	if r := add("www.shop.test", wwwChain+wwwKey); r.code != 0 {
		t.Fatal(r)
	}
	b.run(0, "domains:remove", "www.shop.test", "-a", "shop")
	b.run(0, "apps:create", "rival")
	b.run(0, "domains:add", "www.shop.test", "-a", "rival")
	want(t, b.run(0, "certs", "-a", "rival").out, "www.shop.test       local")
}
