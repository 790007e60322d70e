package proxy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// from is a client at another address of this machine.
func (s *stand) from(address string) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	tr := &http.Transport{TLSClientConfig: s.tlsConfig(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", s.HTTPSAddr())
		}}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func login(t testing.TB, url, password string) *http.Request {
	r := request(t, "GET", url, nil)
	r.SetBasicAuth("ann", password)
	return r
}

// Hundreds of guesses at one app used to hold up every first login at all apps,
// for as long as it takes to hash them all.
func TestGuessesHoldUpNobodyElse(t *testing.T) {
	s := start(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.DefaultCost)
	if err != nil {
		t.Fatal(err)
	}
	a := addr(app(t, says("in")))
	for _, name := range []string{"one", "two"} {
		spec := service(name, a, name+".localhost")
		spec.Options.Auth = map[string]string{"ann": string(hash)}
		s.deploy(spec)
	}
	const guesses = 300
	guesser := s.from("127.0.0.9")
	var mu sync.Mutex
	seen := map[int]int{}
	var wg sync.WaitGroup
	for n := range guesses {
		wg.Go(func() {
			got := s.doWith(guesser, login(t, "https://one.localhost/", fmt.Sprint("wrong", n)))
			mu.Lock()
			defer mu.Unlock()
			seen[got.StatusCode]++
			if wait, err := strconv.Atoi(got.Header.Get("Retry-After")); got.StatusCode == 429 && (err != nil || wait < 1 || wait > 60) {
				t.Errorf("Retry-After: %q", got.Header.Get("Retry-After"))
			}
		})
	}
	// Meanwhile, another app for the same client, and the same app for another.
	if got := s.doWith(guesser, login(t, "https://two.localhost/", "right")); got.StatusCode != 200 {
		t.Errorf("another app: %d", got.StatusCode)
	}
	if got := s.doWith(s.from("127.0.0.8"), login(t, "https://one.localhost/", "right")); got.StatusCode != 200 {
		t.Errorf("another address: %d", got.StatusCode)
	}
	wg.Wait()
	// 10 at once, and few more in the time that this takes.
	if seen[401] < 4 || seen[401] > 60 || seen[401]+seen[429] != guesses {
		t.Errorf("guesses: %v", seen)
	}
	for n := 0; s.doWith(guesser, login(t, "https://one.localhost/", fmt.Sprint("later", n))).StatusCode != 429; n++ {
		if n > 60 {
			t.Fatal("an address may guess for ever")
		}
	}
	// What is known to be right is let in from anywhere, and by a new version.
	spec := service("one", a, "one.localhost", "other.localhost")
	spec.Options.Auth = map[string]string{"ann": string(hash)}
	if got := s.doWith(guesser, login(t, "https://one.localhost/", "right")); got.StatusCode != 200 {
		t.Errorf("known: %d", got.StatusCode)
	}
	s.deploy(spec)
	if got := s.doWith(guesser, login(t, "https://one.localhost/", "guess")); got.StatusCode != 429 {
		t.Errorf("a deploy forgets the guesses: %d", got.StatusCode)
	}
}

// A page asks for many things at once, all with the same credentials.
func TestManyRequestsOfOneLogin(t *testing.T) {
	s := start(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.DefaultCost)
	if err != nil {
		t.Fatal(err)
	}
	spec := shop(addr(app(t, says("in"))))
	spec.Options.Auth = map[string]string{"ann": string(hash), "bob": string(hash)}
	s.deploy(spec)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got := s.do(login(t, shopURL, "right")); got.StatusCode != 200 {
				t.Errorf("got %d", got.StatusCode)
			}
		})
	}
	wg.Wait()
}
