package proxy_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"towline/proxy"
)

// A CA may offer one kind of challenge alone.
func TestEitherChallengeAlone(t *testing.T) {
	for _, kind := range []string{"http-01", "tls-alpn-01"} {
		t.Run(kind, func(t *testing.T) {
			p := newPebble(t, false)
			var offered atomic.Int32
			only := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := httptest.NewRecorder()
				p.front.ServeHTTP(answer, r)
				text := answer.Body.Bytes()
				var authorization map[string]any
				if json.Unmarshal(text, &authorization) == nil {
					if list, ok := authorization["challenges"].([]any); ok {
						for _, c := range list {
							if c.(map[string]any)["type"] == kind {
								authorization["challenges"] = []any{c}
								offered.Add(1)
							}
						}
						text, _ = json.Marshal(authorization)
					}
				}
				for name, values := range answer.Header() {
					w.Header()[name] = values
				}
				w.Header().Del("Content-Length")
				w.WriteHeader(answer.Code)
				w.Write(text)
			})
			p.hook.Store(&only)
			s := start(t, p.configure)
			s.deploy(service("one", addr(app(t, says("ok"))), "a.example"))
			until(t, "valid", func() bool { return s.certificate("a.example").State == "valid" })
			if offered.Load() == 0 {
				t.Error("nothing was withheld: the test shows nothing")
			}
		})
	}
}

// While the CA takes its time over one name, others get theirs.
func TestSlowCAForOneName(t *testing.T) {
	p := newPebble(t, false)
	release := make(chan bool)
	var held atomic.Int32
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var message struct{ Payload string }
		_ = json.Unmarshal(body, &message)
		if payload, _ := base64.RawURLEncoding.DecodeString(message.Payload); bytes.Contains(payload, []byte("slow.example")) {
			held.Add(1)
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.front.ServeHTTP(w, r)
	})
	p.hook.Store(&slow)
	s := start(t, p.configure)
	a := addr(app(t, says("ok")))
	s.deploy(service("slow", a, "slow.example"))
	until(t, "the CA is asked", func() bool { return held.Load() > 0 })
	s.deploy(service("quick", a, "quick.example"))
	until(t, "quick", func() bool { return s.certificate("quick.example").State == "valid" })
	if c := s.certificate("slow.example"); c.State != "pending" {
		t.Errorf("slow: %+v", c)
	}
	// Its owner can see the site meanwhile.
	if got := s.get("https://slow.example/"); got.body != "ok" {
		t.Errorf("meanwhile: %d", got.StatusCode)
	}
	close(release)
	until(t, "slow", func() bool { return s.certificate("slow.example").State == "valid" })
}

// A certificate is replaced while it is still valid, and nobody has to restart
// anything.
func TestRenewedBeforeItEnds(t *testing.T) {
	const life = 15 * time.Second
	p := newPebbleWithLife(t, false, uint64(life/time.Second))
	// Without hints by the CA, the remaining life alone counts.
	silent := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/dir" {
			p.front.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		p.front.ServeHTTP(answer, r)
		var directory map[string]any
		_ = json.Unmarshal(answer.Body.Bytes(), &directory)
		delete(directory, "renewalInfo")
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(directory)
	})
	p.hook.Store(&silent)
	s := start(t, p.configure, func(o *proxy.Options) { o.TLS.RenewCheck = 20 * time.Millisecond })
	s.deploy(service("one", addr(app(t, says("ok"))), "a.example"))
	until(t, "first", func() bool { return s.certificate("a.example").State == "valid" })
	first := s.leaf("a.example")
	if !strings.Contains(first.Issuer.CommonName, "Pebble") {
		t.Fatalf("by %s", first.Issuer)
	}
	until(t, "renewed", func() bool { return s.leaf("a.example").SerialNumber.Cmp(first.SerialNumber) != 0 })
	second := s.leaf("a.example")
	if !strings.Contains(second.Issuer.CommonName, "Pebble") || !second.NotAfter.After(first.NotAfter) {
		t.Errorf("renewed by %s until %s", second.Issuer, second.NotAfter)
	}
	if early := first.NotAfter.Sub(second.NotBefore); early <= 0 {
		t.Errorf("renewed %v after the end", -early)
	}
}
