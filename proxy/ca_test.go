package proxy_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
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
