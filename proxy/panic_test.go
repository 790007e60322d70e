package proxy_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"towline/proxy"
)

// A panic ends its client's connection and nothing else, is logged with its stack and
// counted, and leaves no request that a stop would wait for.
func TestAPanicEndsOneConnection(t *testing.T) {
	var log lockedBuffer
	s := start(t, func(o *proxy.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	s.deploy(shop(addr(app(t, says("ok")))))
	spoilt := shop(addr(app(t, says("never"))))
	spoilt.Name, spoilt.Hosts = "spoilt", []string{"spoilt.localhost"}
	s.deploy(spoilt)
	if err := s.Spoil("spoilt.localhost"); err != nil {
		t.Fatal(err)
	}
	neighbour := s.dialTLS()
	answers := bufio.NewReader(neighbour)
	for range 3 {
		s.panics++
		if res, err := s.newClient(false).Get("https://spoilt.localhost/"); err == nil {
			res.Body.Close()
			t.Errorf("answered: %d", res.StatusCode)
		}
		io.WriteString(neighbour, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(res.Body); string(body) != "ok" {
			t.Errorf("another connection: %d %q", res.StatusCode, body)
		}
	}
	res, err := http.Get("http://" + s.MetricsAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); !bytes.Contains(text, []byte("\ntowline_proxy_panics_total 3\n")) {
		t.Errorf("metrics: %s", text)
	}
	if text := log.String(); !strings.Contains(text, "nil pointer") || !strings.Contains(text, "(*exchange).route") {
		t.Errorf("log: %s", text)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("then stopped: %v", err)
	}
}

// lockedBuffer gathers the log of several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestAPanicOfAnUploadIsNoWholeUpload(t *testing.T) {
	panics, err := proxy.UploadThatPanics(addr(app(t, says("ok"))))
	if panics != 1 || err == nil {
		t.Errorf("%d panics, %v", panics, errors.Join(err))
	}
}
