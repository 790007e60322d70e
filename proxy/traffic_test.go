package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"towline/proxy"
	"towline/proxy/control"
)

func (s *stand) traffic(mark string, wait time.Duration) (control.Report, map[string]control.Traffic) {
	s.t.Helper()
	r, err := s.Traffic(context.Background(), mark, wait)
	if err != nil {
		s.t.Fatal(err)
	}
	by := map[string]control.Traffic{}
	for _, t := range r.Services {
		by[t.Service] = t
	}
	return r, by
}

// counted waits until the service's requests are as many: a client has its answer before it is counted.
func (s *stand) counted(service string, n int64) control.Traffic {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		_, by := s.traffic("", 0)
		sum := int64(0)
		for _, m := range by[service].Status {
			sum += m
		}
		if sum == n {
			return by[service]
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d requests of %s were counted, want %d", sum, service, n)
		}
	}
}

func entries(pairs []uint32) (n uint32) {
	for i := 1; i < len(pairs); i += 2 {
		n += pairs[i]
	}
	return n
}

func TestTraffic(t *testing.T) {
	for name, h2c := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) { testTraffic(t, h2c) })
	}
}

func testTraffic(t *testing.T, h2c bool) {
	s := start(t)
	probes := 0
	server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/up":
			probes++
		case "/missing":
			w.WriteHeader(404)
		case "/broken":
			w.WriteHeader(500)
		case "/slow":
			_, _ = io.WriteString(w, "a")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(60 * time.Millisecond)
			_, _ = io.WriteString(w, "b")
		default:
			_, _ = io.WriteString(w, "hello")
		}
	})
	address := ""
	if h2c {
		address = h2cServer(t, server)
	} else {
		address = addr(app(t, server))
	}
	service := shop(address)
	service.Targets[0].H2C = h2c
	service.Health.Path = "/up"
	if h2c {
		service.Health.Path = ""
	}
	s.deploy(service)
	if _, by := s.traffic("", 0); by["shop"].Status != [6]int64{} || len(by["shop"].Took) > 0 {
		t.Errorf("before the first request: %+v, with %d health checks", by["shop"], probes)
	}
	for path, status := range map[string]int{"/": 200, "/missing": 404, "/broken": 500, "/slow": 200} {
		if got := s.get(shopURL + path[1:]); got.StatusCode != status {
			t.Fatalf("%s: %d", path, got.StatusCode)
		}
	}
	for _, size := range []int{10, 100_000} {
		r, err := s.client.Post(shopURL, "text/plain", strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	if got := s.get("http://shop.localhost/"); got.StatusCode != 301 {
		t.Fatalf("by HTTP: %d", got.StatusCode)
	}
	got := s.counted("shop", 7)
	if got.Status != [6]int64{0, 0, 4, 1, 1, 1} || got.In != 100_010 || got.Out != 17 || got.WebSockets != 0 {
		t.Errorf("got %+v", got)
	}
	// The redirect is the proxy's own, and took no time of the app.
	if entries(got.Took) != 6 || entries(got.First) != 6 {
		t.Errorf("%d durations, %d first bytes", entries(got.Took), entries(got.First))
	}
	last := len(got.Took) - 2
	if firstLast := len(got.First) - 2; got.Took[last] <= got.First[firstLast] {
		t.Errorf("the slowest ended in bucket %d and began in %d", got.Took[last], got.First[firstLast])
	}
}

// What was counted of a service that was taken out is not that of the next of its name.
func TestTrafficBeginsAnew(t *testing.T) {
	s := start(t)
	target := addr(app(t, says("page")))
	s.deploy(shop(target))
	s.get(shopURL)
	before := s.counted("shop", 1)
	s.deploy(shop(addr(app(t, says("page")))))
	if again := s.counted("shop", 1); again.Began != before.Began {
		t.Error("a deploy has begun the count anew")
	}
	if err := s.Remove(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if err := s.Drain(t.Context(), "shop", time.Second); err != nil {
		t.Fatal(err)
	}
	s.deploy(shop(target))
	if after := s.counted("shop", 0); after.Began == before.Began {
		t.Error("the count of a service that was taken out goes on")
	}
}

// Who asks with the mark of the last report waits for what comes, and costs nothing meanwhile.
func TestTrafficIsWaitedFor(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("page")))))
	first, _ := s.traffic("", time.Hour)
	if again, _ := s.traffic(first.Mark, 10*time.Millisecond); again.Mark != first.Mark || again.Services != nil {
		t.Errorf("nothing was counted, and reported is %+v", again)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Traffic(ctx, first.Mark, time.Hour)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("whose caller left: %v", err)
	}
	reports := make(chan control.Report, 1)
	go func() {
		r, _ := s.Traffic(t.Context(), first.Mark, time.Hour)
		reports <- r
	}()
	s.get(shopURL)
	select {
	case r := <-reports:
		if r.Mark == first.Mark || len(r.Services) != 1 || r.Services[0].Status[2] != 1 {
			t.Errorf("got %+v", r)
		}
	case <-time.After(20 * time.Second):
		t.Error("a request, and nobody was told")
	}
}

func TestTrafficOfWebSockets(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, echoSocket))))
	before, _ := s.traffic("", 0)
	c, r := s.dialSocket()
	opened, by := s.traffic(before.Mark, 20*time.Second)
	if by["shop"].WebSockets != 1 {
		t.Errorf("one is open: %+v", by["shop"])
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	moved := s.until(opened.Mark, func(t control.Traffic) bool { return t.In == 10 && t.Out == 15 })
	c.Close()
	ended := s.until(moved.Mark, func(t control.Traffic) bool { return t.Status[1] == 1 })
	if got := ended.Services[0]; got.WebSockets != 0 || got.In != 10 || got.Out != 15 || len(got.Took) > 0 {
		t.Errorf("after its end: %+v", got)
	}
}

// until waits for a report of the one service that is as it should be.
func (s *stand) until(mark string, right func(control.Traffic) bool) control.Report {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		r, _ := s.traffic(mark, time.Second)
		if len(r.Services) == 1 && right(r.Services[0]) {
			return r
		}
		if mark = r.Mark; time.Now().After(deadline) {
			s.t.Fatalf("got %+v", r)
		}
	}
}

// BenchmarkCounting is what the counting of one request costs, on as many processors as there are.
func BenchmarkCounting(b *testing.B) {
	count := proxy.Counting()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			count()
		}
	})
}
