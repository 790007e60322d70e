package proxy_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towline/proxy"
)

// raw sends text on a plain connection and returns the first final answer.
func (s *stand) raw(text string) *http.Response {
	s.t.Helper()
	c := s.dialPlain()
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, text)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

// Every answer says when it was made: the proxy's own, and those of apps that do not
// (RFC 9110 6.6.1). What an app says stays.
func TestEveryAnswerHasADate(t *testing.T) {
	both(t, func(t *testing.T, s *stand, c *http.Client) {
		const then = "Sun, 06 Nov 1994 08:49:37 GMT"
		for answer, want := range map[string]string{
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                       "",
			"HTTP/1.1 304 Not Modified\r\n\r\n":                                  "",
			"HTTP/1.1 200 OK\r\ndate: " + then + "\r\nContent-Length: 0\r\n\r\n": then,
		} {
			s.deploy(shop(rawAnswer(t, answer)))
			got := s.doWith(c, request(t, "GET", shopURL, nil)).Header["Date"]
			checkDate(t, answer, got, want)
		}
		service := shop(rawAnswer(t, ""))
		service.Options.Maintenance = true
		s.deploy(service)
		checkDate(t, "maintenance", s.doWith(c, request(t, "GET", shopURL, nil)).Header["Date"], "")
		checkDate(t, "redirect", s.doWith(c, request(t, "GET", "http://shop.localhost/", nil)).Header["Date"], "")
		checkDate(t, "malformed", s.raw("GET / HTTP/1.1\r\n\r\n").Header["Date"], "")
	})
}

func checkDate(t *testing.T, what string, got []string, want string) {
	t.Helper()
	if len(got) != 1 {
		t.Errorf("%q: dates %q", what, got)
		return
	}
	at, err := http.ParseTime(got[0])
	if want != "" && got[0] != want || want == "" && (err != nil || time.Since(at).Abs() > time.Minute) {
		t.Errorf("%q: date %q, want %q", what, got, want)
	}
}

// A gateway names itself and what it was spoken to with, behind those before it.
func TestViaOfRequests(t *testing.T) {
	s := start(t)
	service := shop(addr(app(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Join(r.Header["Via"], ", "))
	})))
	service.Options.PlainHTTP = true
	s.deploy(service)
	for _, h2 := range []bool{false, true} {
		r := request(t, "GET", shopURL, nil)
		r.Header.Set("Via", "1.0 fred")
		want := map[bool]string{false: "1.0 fred, 1.1 towline", true: "1.0 fred, 2.0 towline"}[h2]
		if got := s.doWith(s.newClient(h2), r); got.body != want {
			t.Errorf("h2 %v: %q", h2, got.body)
		}
	}
	if body, _ := io.ReadAll(s.raw("GET / HTTP/1.0\r\nHost: shop.localhost\r\n\r\n").Body); string(body) != "1.0 towline" {
		t.Errorf("HTTP/1.0: %q", body)
	}
}

func TestRedirectsOfOtherTargets(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("ok")))))
	port := s.HTTPSAddr()[strings.LastIndex(s.HTTPSAddr(), ":"):]
	for target, want := range map[string]string{
		"OPTIONS *":                       "https://shop.localhost" + port,
		"OPTIONS http://shop.localhost":   "https://shop.localhost" + port,
		"GET http://shop.localhost?x=y":   "https://shop.localhost" + port + "/?x=y",
		"GET HTTP://shop.localhost/a?x=y": "https://shop.localhost" + port + "/a?x=y",
	} {
		res := s.raw(target + " HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		if got := res.Header.Get("Location"); got != want {
			t.Errorf("%s: %d to %q, want %q", target, res.StatusCode, got, want)
		}
	}
}

// Where plain HTTP is served, a redirect from host to host stays on its port.
func TestRedirectsOfPlainHTTPKeepToItsPort(t *testing.T) {
	s := start(t)
	service := plainShop(addr(app(t, says("ok"))))
	service.Options.Redirects = map[string]string{"www.localhost": "shop.localhost"}
	s.deploy(service)
	for url, want := range map[string]string{
		"http://www.localhost/x?y":  "http://shop.localhost:" + port(s.HTTPAddr()) + "/x?y",
		"https://www.localhost/x?y": "https://shop.localhost:" + port(s.HTTPSAddr()) + "/x?y",
	} {
		if got := s.get(url).Header.Get("Location"); got != want {
			t.Errorf("%s leads to %s, not %s", url, got, want)
		}
	}
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// Whom a trusted proxy names ends up in quotes in the log.
func TestForwardedAddressesHaveNoZone(t *testing.T) {
	s := start(t, func(o *proxy.Options) { o.TrustForwarded = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	s.deploy(shop(addr(app(t, says("ok")))))
	r := request(t, "GET", shopURL, nil)
	r.Header.Set("X-Forwarded-For", `fe80::1%" status=666 x="`)
	s.do(r)
	var line []byte
	until(t, "the log line", func() bool {
		line, _ = os.ReadFile(filepath.Join(s.options.AccessLog, "shop.log"))
		return len(line) > 0
	})
	if !bytes.Contains(line, []byte(`fwd="fe80::1" `)) {
		t.Errorf("%s", line)
	}
}
