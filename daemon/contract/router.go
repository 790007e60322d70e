package contract

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"reflect"
	"testing"
	"time"

	"towline/daemon"
)

// RouterBench is a router without routes, with what its tests need.
type RouterBench struct {
	daemon.Router
	// Target makes a web process, which answers once answer has been called.
	Target func(t *testing.T, id string) (target daemon.Target, answer func())
	// Request begins a request of a visitor of host, and returns the ID of the target that
	// has it. It is in flight until done is called.
	Request func(ctx context.Context, host string) (target string, done func(), err error)
}

// Router is the suite of daemon.Router.
func Router(t *testing.T, bench func(*testing.T) RouterBench) {
	for name, test := range map[string]func(*testing.T, RouterBench){
		"routes": routes, "not ready": notReady, "refused": refused, "absent": noRoute, "hold": hold, "pause in flight": pauseInFlight,
		"pause and deploys": pauseAndDeploys, "drain": drain, "certificates": certificates, "ended context": routerEndedContext,
	} {
		t.Run(name, func(t *testing.T) { test(t, bench(t)) })
	}
}

func (b RouterBench) shop(targets ...daemon.Target) daemon.Route {
	return daemon.Route{App: "shop", Hosts: []string{"shop.localhost"}, Targets: targets}
}

// up makes a web process that answers.
func (b RouterBench) up(t *testing.T, id string) daemon.Target {
	t.Helper()
	target, answer := b.Target(t, id)
	answer()
	return target
}

// by fails unless a request is answered by that target.
func (b RouterBench) by(t *testing.T, want string) {
	t.Helper()
	got, done, err := b.Request(t.Context(), "shop.localhost")
	if err != nil || got != want {
		t.Errorf("%q has the request, %v; want %q", got, err, want)
	}
	if err == nil {
		done()
	}
}

func (b RouterBench) has(t *testing.T, want ...daemon.Route) {
	t.Helper()
	got, err := b.Routes(t.Context())
	must(t, err)
	if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("got routes %+v; want %+v", got, want)
	}
}

func routes(t *testing.T, b RouterBench) {
	ctx := t.Context()
	b.has(t)
	first, second := b.up(t, "web.1"), b.up(t, "web.2")
	one := b.shop(first)
	must(t, b.Deploy(ctx, one))
	b.has(t, one)
	b.by(t, "web.1")
	two := b.shop(second)
	two.Redirects = map[string]string{"www.shop.localhost": "shop.localhost"}
	must(t, b.Deploy(ctx, two))
	b.has(t, two)
	b.by(t, "web.2")
	other := daemon.Route{App: "other", Hosts: []string{"other.localhost"}, Targets: []daemon.Target{first}, Maintenance: true}
	must(t, b.Deploy(ctx, other))
	b.has(t, other, two) // by name
	must(t, b.Deploy(ctx, two))
	b.has(t, other, two)
	for range 2 { // absent is no error
		must(t, b.Remove(ctx, "shop"))
	}
	b.has(t, other)
	if _, _, err := b.Request(ctx, "shop.localhost"); err == nil {
		t.Error("a removed route has requests")
	}
	must(t, b.Deploy(ctx, one)) // once more
	b.by(t, "web.1")
	empty := b.shop()
	must(t, b.Deploy(ctx, empty))
	if _, _, err := b.Request(ctx, "shop.localhost"); err == nil {
		t.Error("no target has requests")
	}
	list, err := b.Routes(ctx)
	if err != nil || len(list) != 2 || list[1].App != "shop" || len(list[1].Targets) != 0 {
		t.Errorf("without a target: %+v, %v", list, err)
	}
}

func notReady(t *testing.T, b RouterBench) {
	ctx := t.Context()
	good := b.shop(b.up(t, "web.1"))
	must(t, b.Deploy(ctx, good))
	slow, answer := b.Target(t, "web.2")
	bad := b.shop(slow)
	bad.Health.Deadline = 300 * time.Millisecond
	err := b.Deploy(ctx, bad)
	var not *daemon.NotReadyError
	if !errors.As(err, &not) || not.Target != "web.2" || not.Reason == "" {
		t.Errorf("got %#v", err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := b.Deploy(short, b.shop(slow)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its context ended: %v", err)
	}
	b.has(t, good)
	b.by(t, "web.1")
	deployed := make(chan error, 1)
	go func() { deployed <- b.Deploy(ctx, b.shop(slow)) }()
	time.Sleep(100 * time.Millisecond)
	b.by(t, "web.1") // until the other answers
	answer()
	must(t, <-deployed)
	b.by(t, "web.2")
}

func refused(t *testing.T, b RouterBench) {
	ctx := t.Context()
	one := b.shop(b.up(t, "web.1"))
	must(t, b.Deploy(ctx, one))
	is(t, "a host of another app", b.Deploy(ctx, daemon.Route{App: "thief", Hosts: one.Hosts, Targets: one.Targets}), daemon.Invalid)
	is(t, "a name that is none", b.Deploy(ctx, daemon.Route{App: "../x"}), daemon.Invalid)
	is(t, "a pause without a limit", b.Pause(ctx, "shop", 0), daemon.Invalid)
	b.has(t, one)
	b.by(t, "web.1")
}

func noRoute(t *testing.T, b RouterBench) {
	ctx := t.Context()
	is(t, "pause", b.Pause(ctx, "none", time.Second), daemon.NotFound)
	must(t, b.Resume(ctx, "none"))
	must(t, b.Remove(ctx, "none"))
	must(t, b.Drain(ctx, "none", time.Second))
	b.has(t)
}

// begin begins a request, and delivers the target that has it, or what is wrong.
func (b RouterBench) begin(t *testing.T) <-chan string {
	got := make(chan string, 1)
	ctx := t.Context()
	go func() {
		target, done, err := b.Request(ctx, "shop.localhost")
		if err != nil {
			got <- "error"
			return
		}
		done()
		got <- target
	}()
	return got
}

func waits(t *testing.T, request <-chan string) {
	t.Helper()
	select {
	case got := <-request:
		t.Errorf("it does not wait: %s", got)
	case <-time.After(100 * time.Millisecond):
	}
}

func gets(t *testing.T, request <-chan string, want string) {
	t.Helper()
	select {
	case got := <-request:
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	case <-time.After(patience):
		t.Error("the request has no end")
	}
}

func hold(t *testing.T, b RouterBench) {
	ctx := t.Context()
	must(t, b.Deploy(ctx, b.shop(b.up(t, "web.1"))))
	for range 2 {
		must(t, b.Pause(ctx, "shop", time.Minute))
	}
	request := b.begin(t)
	waits(t, request)
	must(t, b.Resume(ctx, "shop"))
	gets(t, request, "web.1")
	must(t, b.Resume(ctx, "shop"))
	b.by(t, "web.1")
	must(t, b.Pause(ctx, "shop", 200*time.Millisecond))
	gets(t, b.begin(t), "error") // after that time
	must(t, b.Resume(ctx, "shop"))
}

func pauseInFlight(t *testing.T, b RouterBench) {
	ctx := t.Context()
	must(t, b.Deploy(ctx, b.shop(b.up(t, "web.1"))))
	_, done, err := b.Request(ctx, "shop.localhost")
	must(t, err)
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if err := b.Pause(short, "shop", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a request is in flight: %v", err)
	}
	request := b.begin(t)
	waits(t, request) // the pause stays
	paused := make(chan error, 1)
	go func() { paused <- b.Pause(ctx, "shop", time.Minute) }()
	select {
	case err := <-paused:
		t.Errorf("it does not wait for the request: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	done()
	must(t, <-paused)
	must(t, b.Resume(ctx, "shop"))
	gets(t, request, "web.1")
}

func pauseAndDeploys(t *testing.T, b RouterBench) {
	ctx := t.Context()
	must(t, b.Deploy(ctx, b.shop(b.up(t, "web.1"))))
	must(t, b.Pause(ctx, "shop", time.Minute))
	request := b.begin(t)
	must(t, b.Deploy(ctx, b.shop(b.up(t, "web.2"))))
	waits(t, request) // a deploy while paused stays paused
	must(t, b.Resume(ctx, "shop"))
	gets(t, b.begin(t), "web.2")
	<-request
	must(t, b.Pause(ctx, "shop", time.Minute))
	must(t, b.Remove(ctx, "shop")) // ends it
	must(t, b.Deploy(ctx, b.shop(b.up(t, "web.3"))))
	b.by(t, "web.3")
}

func drain(t *testing.T, b RouterBench) {
	ctx := t.Context()
	must(t, b.Deploy(ctx, b.shop(b.up(t, "web.1"))))
	_, done, err := b.Request(ctx, "shop.localhost")
	must(t, err)
	must(t, b.Deploy(ctx, b.shop(b.up(t, "web.2"))))
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if err := b.Drain(short, "shop", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("its context ended: %v", err)
	}
	drained := make(chan error, 1)
	go func() { drained <- b.Drain(ctx, "shop", time.Minute) }()
	select {
	case err := <-drained:
		t.Errorf("it does not wait for the request: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	done()
	must(t, <-drained)

	_, done, err = b.Request(ctx, "shop.localhost")
	must(t, err)
	defer done()
	must(t, b.Deploy(ctx, b.shop(b.up(t, "web.3"))))
	since := time.Now()
	must(t, b.Drain(ctx, "shop", 200*time.Millisecond))
	if took := time.Since(since); took < 200*time.Millisecond || took > patience {
		t.Errorf("with a budget of 200ms it took %s", took)
	}
	must(t, b.Drain(ctx, "shop", time.Minute)) // nothing is left to wait for
	b.by(t, "web.3")
}

func certificates(t *testing.T, b RouterBench) {
	ctx := t.Context()
	chain, key := pair(t, "shop.localhost")
	is(t, "a host that has no route", b.SetCertificate(ctx, "shop.localhost", chain, key), daemon.Invalid)
	must(t, b.Deploy(ctx, b.shop(b.up(t, "web.1"))))
	kind := func(want string) {
		t.Helper()
		list, err := b.Certificates(ctx)
		if err != nil || len(list) != 1 || list[0].Host != "shop.localhost" || list[0].State != "valid" || list[0].Kind != want || list[0].NotAfter.IsZero() {
			t.Errorf("got %+v, %v; want a certificate of kind %s", list, err, want)
		}
	}
	kind("local")
	is(t, "nonsense", b.SetCertificate(ctx, "shop.localhost", []byte("x"), []byte("y")), daemon.Invalid)
	other, otherKey := pair(t, "other.localhost")
	is(t, "another host's", b.SetCertificate(ctx, "shop.localhost", other, otherKey), daemon.Invalid)
	is(t, "another key", b.SetCertificate(ctx, "shop.localhost", chain, otherKey), daemon.Invalid)
	kind("local")
	must(t, b.SetCertificate(ctx, "shop.localhost", chain, key))
	kind("uploaded")
	for range 2 { // absent is no error
		must(t, b.DeleteCertificate(ctx, "shop.localhost"))
	}
	kind("local")
}

func pair(t *testing.T, host string) (chain, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	must(t, err)
	text, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

func routerEndedContext(t *testing.T, b RouterBench) {
	one := b.shop(b.up(t, "web.1"))
	must(t, b.Deploy(t.Context(), one))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, listed := b.Routes(ctx)
	for what, err := range map[string]error{
		"deploy": b.Deploy(ctx, b.shop(b.up(t, "web.2"))), "remove": b.Remove(ctx, "shop"), "pause": b.Pause(ctx, "shop", time.Minute), "routes": listed,
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	b.has(t, one)
	b.by(t, "web.1")
}
