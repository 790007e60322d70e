package router_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"towline/daemon"
	"towline/daemon/contract"
	"towline/daemon/router"
	"towline/proxy"
	"towline/proxy/control"
)

// The proxy, asked over its control socket, does what the core relies upon, as its stand-in
// in daemon/memory does.
func TestContract(t *testing.T) {
	contract.Router(t, func(t *testing.T) contract.RouterBench {
		dir := t.TempDir()
		socket := filepath.Join(dir, "control.sock")
		p, err := proxy.Start(proxy.Options{HTTPS: "127.0.0.1:0", Control: socket, State: filepath.Join(dir, "state")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		client := control.NewClient(socket)
		t.Cleanup(func() { client.Close() })
		return contract.RouterBench{Router: router.New(client), Target: target,
			Request: func(ctx context.Context, host string) (string, func(), error) {
				return request(ctx, p.HTTPSAddr(), host)
			}}
	})
}

// target is a web process that says its name, and goes on as long as its client wants to
// hear.
func target(t *testing.T, id string) (daemon.Target, func()) {
	var answers atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !answers.Load():
			panic(http.ErrAbortHandler) // any answer would be one
		case r.Header.Get("Hold") != "":
			_, _ = w.Write([]byte(id + "\n"))
			_ = http.NewResponseController(w).Flush()
			if end, ok := held.Load(r.Header.Get("Hold")); ok {
				select {
				case <-end.(chan struct{}):
				case <-r.Context().Done():
				}
			}
		}
	}))
	t.Cleanup(s.Close)
	return daemon.Target{ID: id, Address: strings.TrimPrefix(s.URL, "http://")}, func() { answers.Store(true) }
}

// held are the ends of the requests that are in flight, by their names.
var (
	held  sync.Map
	holds atomic.Int64
)

func request(ctx context.Context, address, host string) (string, func(), error) {
	name := strconv.FormatInt(holds.Add(1), 10)
	end := make(chan struct{})
	held.Store(name, end)
	done := sync.OnceFunc(func() { close(end) })
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/", nil)
	if err != nil {
		return "", nil, err
	}
	r.Header.Set("Hold", name)
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		},
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		done()
		return "", nil, err
	}
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil || response.StatusCode != http.StatusOK {
		done()
		_ = response.Body.Close()
		return "", nil, errors.Join(err, errors.New(response.Status))
	}
	return strings.TrimSpace(line), func() { done(); _ = response.Body.Close() }, nil
}
