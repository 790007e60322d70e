package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"towline/proxy"
)

// At most 1,000 requests wait at a pause; one more is told so at once.
func TestPausedRequestsAreBounded(t *testing.T) {
	const bound, more = 1000, 5
	s := start(t)
	service := shop(addr(app(t, says("ok"))))
	service.Options.PlainHTTP = true
	s.deploy(service)
	if err := s.Pause(context.Background(), "shop", time.Minute); err != nil {
		t.Fatal(err)
	}
	statuses := make(chan int, bound+more)
	for range bound + more {
		c := s.dialPlain()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n")
		go func() {
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				statuses <- 0
				return
			}
			io.Copy(io.Discard, res.Body)
			statuses <- res.StatusCode
		}()
	}
	for range more {
		if got := <-statuses; got != 503 {
			t.Fatalf("while %d wait: %d", bound, got)
		}
	}
	select {
	case got := <-statuses:
		t.Fatalf("fewer than %d may wait: %d", bound, got)
	default:
	}
	if err := s.Resume(context.Background(), "shop"); err != nil {
		t.Fatal(err)
	}
	for range bound {
		if got := <-statuses; got != 200 {
			t.Fatalf("after the pause: %d", got)
		}
	}
}

// drips is a body that comes at some 50 bytes a second.
type drips struct{ left int }

func (d *drips) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(20 * time.Millisecond)
	d.left--
	p[0] = 'x'
	return 1, nil
}

func TestUploadsThatComeTooSlowly(t *testing.T) {
	for _, kind := range []struct {
		h2     bool
		length int64 // -1: chunked
	}{{false, 1000}, {false, -1}, {true, 1000}} {
		h2 := kind.h2
		s := start(t, func(o *proxy.Options) { o.UploadGrace = 60 * time.Millisecond })
		var whole atomic.Bool
		ended := make(chan bool, 1)
		s.deploy(shop(addr(app(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				_, err := io.Copy(io.Discard, r.Body)
				whole.Store(err == nil)
				ended <- true
			}
		}))))
		r := request(t, "POST", shopURL, &drips{left: 1000})
		r.ContentLength = kind.length
		began := time.Now()
		res, err := s.newClient(h2).Do(r)
		if err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode != 408 {
				t.Errorf("%+v: %d", kind, res.StatusCode)
			}
		}
		select {
		case <-ended:
		case <-time.After(10 * time.Second): // cut off before the app saw any of it
		}
		if took := time.Since(began); whole.Load() || took > 18*time.Second {
			t.Errorf("%+v: taken whole: %v, after %v", kind, whole.Load(), took)
		}
	}
}

// A large answer that nobody reads is held back at the app: neither the proxy
// nor this process, which is proxy, app and client at once, gathers it.
func TestSlowReaderDoesNotGrowMemory(t *testing.T) {
	const size = 96 << 20
	s := start(t)
	var sent atomic.Int64
	piece := make([]byte, 64<<10)
	s.deploy(shop(addr(app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/large" {
			return
		}
		for range size / len(piece) {
			n, err := w.Write(piece)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))))
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, h2 := range []bool{false, true} {
		sent.Store(0)
		before := heap()
		res, err := s.newClient(h2).Get("https://shop.localhost/large")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		until(t, "the answer begins", func() bool { return sent.Load() > 1<<20 })
		buf := make([]byte, 16<<10)
		var most uint64
		// Slowly at first, with a look at the heap after each piece, then the rest. The
		// client of h2 itself holds up to 4 MiB.
		for range 50 {
			if _, err := io.ReadFull(res.Body, buf); err != nil {
				t.Fatal(err)
			}
			most = max(most, heap())
		}
		if most > before+8<<20 {
			t.Errorf("h2 %v: the heap grew from %d to %d KiB", h2, before>>10, most>>10)
		}
		if sent.Load() >= size/2 {
			t.Errorf("h2 %v: the app could send %d MiB", h2, sent.Load()>>20)
		}
		n, err := io.Copy(io.Discard, res.Body)
		if err != nil || n+50*int64(len(buf)) != size {
			t.Errorf("h2 %v: then: %d bytes, %v", h2, n, err)
		}
	}
}

// A connection that is idle for a while goes on in another goroutine, and still
// serves, times out, and is told of a stop.
func TestParkedConnections(t *testing.T) {
	s := start(t, func(o *proxy.Options) { o.KeepAlive = 6 * time.Second })
	service := shop(addr(app(t, says("ok"))))
	service.Options.PlainHTTP = true
	s.deploy(service)
	c := s.dialPlain()
	answers := bufio.NewReader(c)
	for i := range 2 {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if body, _ := io.ReadAll(res.Body); string(body) != "ok" {
			t.Errorf("request %d: %d %q", i, res.StatusCode, body)
		}
		if i == 0 {
			time.Sleep(3 * time.Second) // it is parked after two
		}
	}
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := answers.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection ended with %q, %v", n, err)
	}
}
