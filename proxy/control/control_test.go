package control_test

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

	"towline/proxy/control"
)

// recorder is a Proxy that remembers its last call and answers err.
type recorder struct {
	call []any
	err  error
	wait bool // until ctx ends
	left chan struct{}
}

func (r *recorder) did(ctx context.Context, call ...any) error {
	r.call = call
	if r.wait {
		<-ctx.Done()
		close(r.left)
		return ctx.Err()
	}
	return r.err
}

func (r *recorder) Deploy(ctx context.Context, s control.Service) error {
	return r.did(ctx, "deploy", s)
}
func (r *recorder) Drain(ctx context.Context, s string, d time.Duration) error {
	return r.did(ctx, "drain", s, d)
}
func (r *recorder) Remove(ctx context.Context, s string) error { return r.did(ctx, "remove", s) }
func (r *recorder) Pause(ctx context.Context, s string, d time.Duration) error {
	return r.did(ctx, "pause", s, d)
}
func (r *recorder) Resume(ctx context.Context, s string) error { return r.did(ctx, "resume", s) }
func (r *recorder) Services(ctx context.Context) ([]control.Status, error) {
	return []control.Status{{Service: service, Paused: true, Draining: []string{"web.1.v1"}, InFlight: map[string]int{"web.1.v2": 3}}},
		r.did(ctx, "services")
}
func (r *recorder) Certificates(ctx context.Context) ([]control.Certificate, error) {
	return []control.Certificate{{Host: "a.example", Kind: "acme", State: "failing", Error: "no"}}, r.did(ctx, "certificates")
}
func (r *recorder) SetCertificate(ctx context.Context, host string, chain, key []byte) error {
	return r.did(ctx, "set", host, string(chain), string(key))
}
func (r *recorder) DeleteCertificate(ctx context.Context, host string) error {
	return r.did(ctx, "delete", host)
}
func (r *recorder) Traffic(ctx context.Context, mark string, wait time.Duration) (control.Report, error) {
	return report, r.did(ctx, "traffic", mark, wait)
}

var report = control.Report{Mark: "b", Services: []control.Traffic{{
	Service: "shop", Began: "1", Status: [6]int64{0, 0, 7}, In: 1, Out: 2, WebSockets: 3, Took: []uint32{4, 5}, First: []uint32{6, 7},
}}}

var service = control.Service{
	Name: "shop", Hosts: []string{"shop.localhost"},
	Targets: []control.Target{{ID: "web.1.v2", Address: "10.0.0.2:5000", H2C: true}},
	Health:  control.Health{Path: "/up", Status: []int{204}, Deadline: time.Minute},
	Options: control.Options{HSTS: time.Hour, Auth: map[string]string{"u": "h"}},
}

func serve(t *testing.T, p control.Proxy) (*control.Client, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: control.Handler(p)}
	go s.Serve(l)
	c := control.NewClient(path)
	t.Cleanup(func() { c.Close(); s.Close() })
	return c, path
}

func TestEveryMethodCrossesTheSocket(t *testing.T) {
	r := &recorder{}
	c, _ := serve(t, r)
	ctx := context.Background()
	check := func(err error, want ...any) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(r.call, want) {
			t.Errorf("got %v, %v; want %v", r.call, err, want)
		}
	}
	check(c.Deploy(ctx, service), "deploy", service)
	check(c.Drain(ctx, "shop", time.Second), "drain", "shop", time.Second)
	check(c.Remove(ctx, "shop"), "remove", "shop")
	check(c.Pause(ctx, "shop", time.Minute), "pause", "shop", time.Minute)
	check(c.Resume(ctx, "shop"), "resume", "shop")
	check(c.SetCertificate(ctx, "h", []byte("c"), []byte("k")), "set", "h", "c", "k")
	check(c.DeleteCertificate(ctx, "h"), "delete", "h")
	list, err := c.Services(ctx)
	check(err, "services")
	if len(list) != 1 || !reflect.DeepEqual(list[0].Service, service) || list[0].InFlight["web.1.v2"] != 3 {
		t.Errorf("services: %+v", list)
	}
	counted, err := c.Traffic(ctx, "a", time.Minute)
	check(err, "traffic", "a", time.Minute)
	if !reflect.DeepEqual(counted, report) {
		t.Errorf("traffic: %+v", counted)
	}
	certs, err := c.Certificates(ctx)
	check(err, "certificates")
	if len(certs) != 1 || certs[0].Error != "no" {
		t.Errorf("certificates: %+v", certs)
	}
}

func TestErrorsKeepTheirTypes(t *testing.T) {
	r := &recorder{err: &control.NotReady{Target: "web.1.v2", Reason: "GET /up answered 500"}}
	c, _ := serve(t, r)
	var notReady *control.NotReady
	if err := c.Deploy(context.Background(), service); !errors.As(err, &notReady) || *notReady != *r.err.(*control.NotReady) {
		t.Errorf("got %v, want %v", err, r.err)
	}
	r.err = &control.Invalid{Reason: "service without a name"}
	var invalid *control.Invalid
	if err := c.Deploy(context.Background(), service); !errors.As(err, &invalid) || invalid.Reason != "service without a name" {
		t.Errorf("got %v, want %v", err, r.err)
	}
	r.err = &control.NotFound{Reason: "no service shop"}
	var absent *control.NotFound
	if err := c.Pause(context.Background(), "shop", time.Second); !errors.As(err, &absent) || absent.Reason != "no service shop" {
		t.Errorf("got %v, want %v", err, r.err)
	}
	r.err = errors.New("disk full")
	if err := c.Remove(context.Background(), "shop"); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}

func TestHangingUpEndsTheCall(t *testing.T) {
	r := &recorder{wait: true, left: make(chan struct{})}
	c, _ := serve(t, r)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := c.Deploy(ctx, service); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want deadline exceeded", err)
	}
	select {
	case <-r.left:
	case <-time.After(20 * time.Second):
		t.Error("the proxy's side never noticed that the caller left")
	}
}

func TestAbsentProxyIsSaidWithAHint(t *testing.T) {
	c := control.NewClient(filepath.Join(t.TempDir(), "none.sock"))
	err := c.Resume(context.Background(), "shop")
	if err == nil || !strings.Contains(err.Error(), "is towline-proxy running?") {
		t.Errorf("got %v", err)
	}
}
