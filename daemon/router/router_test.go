package router_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"towline/daemon"
	"towline/daemon/router"
	"towline/proxy/control"
)

// table is the least that a proxy can be: it remembers services, and fails on demand.
type table struct {
	control.Proxy
	services []control.Service
	called   []any
	err      error
}

func (p *table) Deploy(_ context.Context, s control.Service) error {
	p.services = append(p.services, s)
	return p.err
}

func (p *table) did(call ...any) error {
	p.called = call
	return p.err
}

func (p *table) Drain(_ context.Context, s string, d time.Duration) error {
	return p.did("drain", s, d)
}
func (p *table) Remove(_ context.Context, s string) error { return p.did("remove", s) }
func (p *table) Pause(_ context.Context, s string, d time.Duration) error {
	return p.did("pause", s, d)
}
func (p *table) Resume(_ context.Context, s string) error { return p.did("resume", s) }

func (p *table) Services(context.Context) (all []control.Status, err error) {
	for _, s := range p.services {
		all = append(all, control.Status{Service: s})
	}
	return all, p.err
}

func (p *table) Certificates(context.Context) ([]control.Certificate, error) {
	return []control.Certificate{{Host: "h", Kind: "acme", State: "failing", Issuer: "i", Error: "e", NotAfter: time.Unix(5, 0).UTC()}}, p.err
}

// serve puts p behind the real handler and client, on a unix socket.
func serve(t *testing.T, p *table) *router.Router {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: control.Handler(p)}
	go server.Serve(l)
	client := control.NewClient(socket)
	t.Cleanup(func() { client.Close(); server.Close() })
	return router.New(client)
}

func TestRoutes(t *testing.T) {
	p := &table{}
	r := serve(t, p)
	want := daemon.Route{
		App: "shop", Hosts: []string{"shop.example.com", "*.example.com"},
		Targets:     []daemon.Target{{ID: "web.1", Address: "10.0.0.2:5000"}, {ID: "web.2", Address: "10.0.0.3:5000", WebSocket: true}, {ID: "web.3", Address: "10.0.0.4:5000", H2C: true}},
		Health:      daemon.Health{Path: "/up", Status: []int{200, 204}, Content: "up", Timeout: time.Second, Deadline: time.Minute},
		Maintenance: true, Undeployed: true,
		Redirects: map[string]string{"www.example.com": "shop.example.com"}, AuthUntil: time.Unix(9, 0).UTC(), Prefix: "/x",
		Rules: daemon.Rules{
			ResponseTimeout: time.Second, IdleTimeout: time.Hour, MaxBody: 1, MaxHeader: 2, AllowFrom: []string{"10.0.0.0/8"},
			Auth: map[string]string{"towline": "hash"}, PlainHTTP: true, HSTS: time.Hour, MaintenancePage: "<p>",
		},
	}
	if err := r.Deploy(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	routes, err := r.Routes(t.Context())
	if err != nil || !reflect.DeepEqual(routes, []daemon.Route{want}) {
		t.Errorf("got %+v, %v; want %+v", routes, err, want)
	}
	certs, err := r.Certificates(t.Context())
	wantCert := daemon.Certificate{Host: "h", Kind: "acme", State: "failing", Issuer: "i", Error: "e", NotAfter: time.Unix(5, 0).UTC()}
	if err != nil || len(certs) != 1 || certs[0] != wantCert {
		t.Errorf("got %+v, %v; want %+v", certs, err, wantCert)
	}
	for _, c := range []struct {
		call func() error
		want []any
	}{
		{func() error { return r.Drain(t.Context(), "shop", time.Minute) }, []any{"drain", "shop", time.Minute}},
		{func() error { return r.Remove(t.Context(), "shop") }, []any{"remove", "shop"}},
		{func() error { return r.Pause(t.Context(), "shop", time.Second) }, []any{"pause", "shop", time.Second}},
		{func() error { return r.Resume(t.Context(), "shop") }, []any{"resume", "shop"}},
	} {
		if err := c.call(); err != nil || !reflect.DeepEqual(p.called, c.want) {
			t.Errorf("got %v, %v; want %v", p.called, err, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	p := &table{err: &control.NotReady{Target: "web.1", Reason: "GET /up answered 500"}}
	r := serve(t, p)
	err := r.Deploy(t.Context(), daemon.Route{App: "shop"})
	var notReady *daemon.NotReadyError
	if !errors.As(err, &notReady) || *notReady != (daemon.NotReadyError{Target: "web.1", Reason: "GET /up answered 500"}) {
		t.Errorf("got %#v, want a NotReadyError", err)
	}
	p.err = &control.Invalid{Reason: "host x: not a name"}
	if err := r.Deploy(t.Context(), daemon.Route{}); !isKind(err, daemon.Invalid) || !strings.Contains(err.Error(), "host x") {
		t.Errorf("got %v, want an Invalid error", err)
	}
	p.err = &control.NotFound{Reason: "no service shop"}
	if err := r.Pause(t.Context(), "shop", time.Second); !isKind(err, daemon.NotFound) {
		t.Errorf("got %v, want a NotFound error", err)
	}
	p.err = errors.New("disk full")
	if err := r.Resume(t.Context(), "shop"); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v, want the proxy's own words", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Remove(ctx, "shop"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestNoProxy(t *testing.T) {
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed.sock") // a socket that nobody listens on
	l, err := net.Listen("unix", closed)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	mute := filepath.Join(dir, "mute.sock") // a proxy that dies before it answers
	if l, err = net.Listen("unix", mute); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	for _, socket := range []string{filepath.Join(dir, "absent.sock"), closed, mute} {
		_, err := router.New(control.NewClient(socket)).Routes(t.Context())
		var e *daemon.Error
		if !isKind(err, daemon.Unavailable) || !errors.As(err, &e) || !strings.Contains(e.Hint, "towline-proxy") {
			t.Errorf("%s: got %v, want an Unavailable error with a hint", filepath.Base(socket), err)
		}
	}
}

func isKind(err error, kind daemon.Kind) bool {
	var e *daemon.Error
	return errors.As(err, &e) && e.Kind == kind
}
