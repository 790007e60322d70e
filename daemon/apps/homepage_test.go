package apps

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"towline/daemon"
)

// A home page is asked for as a visitor would, and once.
func TestAskHome(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; r.Host != "shop.example.test" || r.URL.Path != "/" || r.Header.Get("X-Forwarded-Proto") != "https" {
			t.Errorf("asked for %s of %s: %v", r.URL, r.Host, r.Header)
		}
		w.Header().Set("Location", "/login")
		w.WriteHeader(http.StatusFound)
	}))
	defer s.Close()
	address := strings.TrimPrefix(s.URL, "http://")
	if status, err := askHome(t.Context(), address, "shop.example.test"); status != 302 || err != nil || asked != 1 {
		t.Errorf("%d, %v, asked %d times", status, err, asked)
	}
	s.Close()
	if _, err := askHome(t.Context(), address, "shop.example.test"); err == nil {
		t.Error("nobody is there, and no error")
	}
}

func TestVisited(t *testing.T) {
	for _, c := range []struct {
		port, want string
		route      daemon.Route
	}{
		{"", "shop.example.test", daemon.Route{Hosts: []string{"a.example", "shop.example.test"}}},
		{"8443", "shop.example.test:8443", daemon.Route{Hosts: []string{"shop.example.test"}}},
		{"", "www.example", daemon.Route{Hosts: []string{"*.example", "shop.example.test", "www.example"}, Redirects: map[string]string{"shop.example.test": "www.example"}}},
		{"", "", daemon.Route{Hosts: []string{"*.example"}}},
	} {
		c.route.App = "shop"
		b := &base{Options: Options{Domain: "example.test", Port: c.port}}
		if got := (&Routes{base: b}).visited(c.route); got != c.want {
			t.Errorf("%v: %q, want %q", c.route.Hosts, got, c.want)
		}
	}
}
