package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"towline/proxy"

	"golang.org/x/net/http2"
)

// open opens a stream that leaves its body to be sent.
func (c *h2Conn) open(id uint32, fields ...[2]string) {
	c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers(append([][2]string{{":method!", "POST"}}, fields...)), EndHeaders: true})
}

// get opens a stream whose request is complete.
func (c *h2Conn) get(id uint32, fields ...[2]string) error {
	return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers(fields), EndStream: true, EndHeaders: true})
}

// goAway reads until the connection ends, and returns the last GOAWAY's code.
func (c *h2Conn) goAway() string {
	code := "none"
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return code
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			code = g.ErrCode.String()
		}
	}
}

// forVisitors leaves the proxy's own health checks to be answered at once.
func forVisitors(f http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-For") != "" {
			f(w, r)
		}
	}
}

// What an app does not read is not taken from the client beyond the windows: not
// of a stream, and not of all streams of a connection together.
func TestHTTP2Windows(t *testing.T) {
	s := start(t)
	silent := make(chan struct{})
	s.deploy(shop(addr(app(t, forVisitors(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-silent:
		case <-r.Context().Done():
		}
	})))))
	defer close(silent)
	data := make([]byte, 16<<10)
	t.Run("of a stream", func(t *testing.T) {
		c := s.dialH2()
		c.open(1)
		// The app's connection takes some, too; what comes back for that is granted.
		granted := int64(256 << 10)
		go func() {
			for sent := int64(0); sent < granted+1<<30 && c.framer.WriteData(1, false, data) == nil; {
				sent += int64(len(data))
			}
		}()
		if got := c.outcome(1); got != "reset 3" && got != "goaway 3" {
			t.Errorf("got %s, want FLOW_CONTROL_ERROR", got)
		}
	})
	t.Run("of a connection", func(t *testing.T) {
		c := s.dialH2()
		go func() {
			for id := uint32(1); id < 481; id += 2 {
				c.open(id)
				for range 15 { // within the window of each
					if c.framer.WriteData(id, false, data) != nil {
						return
					}
				}
			}
		}()
		if got := c.goAway(); got != "FLOW_CONTROL_ERROR" {
			t.Errorf("got %s, want FLOW_CONTROL_ERROR", got)
		}
	})
}

// A client that opens a stream whenever one of its 250 has ended is refused none.
func TestHTTP2ConcurrentStreams(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, says("ok")))))
	c := s.dialH2()
	next := uint32(1)
	for range 250 {
		c.get(next)
		next += 2
	}
	for ended := 0; ended < 2000; {
		f, err := c.framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		over := false
		switch f := f.(type) {
		case *http2.RSTStreamFrame:
			t.Fatalf("stream %d was refused: %v", f.StreamID, f.ErrCode)
		case *http2.MetaHeadersFrame:
			over = f.StreamEnded()
		case *http2.DataFrame:
			over = f.StreamEnded()
			c.framer.WriteWindowUpdate(0, 1<<10)
		}
		if over {
			ended++
			c.get(next)
			next += 2
		}
	}
}

// More than 250 at a time are refused, and the connection goes on.
func TestHTTP2RefusedStream(t *testing.T) {
	s := start(t)
	release := make(chan struct{})
	s.deploy(shop(addr(app(t, forVisitors(func(w http.ResponseWriter, _ *http.Request) { <-release })))))
	c := s.dialH2()
	for id := uint32(1); id <= 501; id += 2 {
		c.get(id)
	}
	if got := c.outcome(501); got != "reset 7" {
		t.Errorf("got %s, want REFUSED_STREAM", got)
	}
	close(release)
	for ended := 0; ended < 250; {
		f, err := c.framer.ReadFrame()
		if err != nil {
			t.Fatalf("%d of the streams that are allowed were answered: %v", ended, err)
		}
		if m, ok := f.(*http2.MetaHeadersFrame); ok && m.StreamEnded() && m.PseudoValue("status") == "200" {
			ended++
		}
	}
}

// What provokes resets is throttled like what resets, and so are frames that
// carry nothing.
func TestHTTP2Floods(t *testing.T) {
	s := start(t)
	s.deploy(shop(rawAnswer(t, "")))
	for name, flood := range map[string]func(c *h2Conn, n uint32) error{
		"resets by wrong windows": func(c *h2Conn, n uint32) error {
			c.get(2*n + 1)
			return c.framer.WriteWindowUpdate(2*n+1, 0)
		},
		"resets by malformed requests": func(c *h2Conn, n uint32) error {
			return c.get(2*n+1, [2]string{"Upper", "case"})
		},
		"pings":          func(c *h2Conn, _ uint32) error { return c.framer.WritePing(false, [8]byte{}) },
		"settings":       func(c *h2Conn, _ uint32) error { return c.framer.WriteSettings() },
		"priorities":     func(c *h2Conn, _ uint32) error { return c.framer.WritePriority(1, http2.PriorityParam{}) },
		"small windows":  func(c *h2Conn, _ uint32) error { return c.framer.WriteWindowUpdate(0, 1) },
		"unknown frames": func(c *h2Conn, _ uint32) error { return c.framer.WriteRawFrame(0xee, 0, 0, nil) },
		"empty data": func(c *h2Conn, n uint32) error {
			if n == 0 {
				c.open(1)
			}
			return c.framer.WriteData(1, false, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dialH2()
			c.framer.WriteSettings()
			buffered := bufio.NewWriterSize(c.Conn, 16<<10)
			c.framer = http2.NewFramer(buffered, c.Conn)
			c.framer.AllowIllegalWrites = true
			cut := make(chan bool)
			go func() {
				n := uint32(0)
				for n < 1<<20 && flood(c, n) == nil {
					n++
				}
				cut <- n < 1<<20
			}()
			// Who goes on sending may see the connection reset before it reads why.
			got := c.goAway()
			if c.Close(); !<-cut || got != "ENHANCE_YOUR_CALM" && got != "none" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// A stop takes nothing from a client that keeps to RFC 9113, 6.8: it is told to
// open no more streams, and only later which are the last that are served.
func TestHTTP2SaysGoodBye(t *testing.T) {
	s := start(t)
	arrived, release := make(chan struct{}, 8), make(chan struct{})
	s.deploy(shop(addr(app(t, forVisitors(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		io.WriteString(w, "done")
	})))))
	c := s.dialH2()
	c.get(1)
	<-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	var lasts []uint32
	answers := map[uint32]string{}
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			break
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			if lasts = append(lasts, f.LastStreamID); len(lasts) == 1 {
				c.get(3) // under way when the client hears of it
				<-arrived
			} else {
				c.get(5) // against the rules by now
				close(release)
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				c.framer.WritePing(true, f.Data)
			}
		case *http2.DataFrame:
			answers[f.StreamID] += string(f.Data())
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if fmt.Sprint(lasts) != "[2147483647 3]" || fmt.Sprint(answers) != "map[1:done 3:done]" {
		t.Errorf("GOAWAY %v, answers %v", lasts, answers)
	}
}

// An idle connection is said good-bye to before it is closed.
func TestHTTP2IdleGoodBye(t *testing.T) {
	s := start(t, func(o *proxy.Options) { o.KeepAlive = 100 * time.Millisecond })
	s.deploy(shop(addr(app(t, says("ok")))))
	c := s.dialH2()
	c.get(1)
	if got := c.outcome(1); got != "status 200" {
		t.Fatal(got)
	}
	if got := c.goAway(); got != "NO_ERROR" {
		t.Errorf("got %s", got)
	}
}

// A header block that is begun and not completed is given up.
func TestHTTP2Unfinished(t *testing.T) {
	s := start(t, func(o *proxy.Options) { o.HeaderTimeout = time.Second })
	s.deploy(shop(addr(app(t, says("ok")))))
	c := s.dialH2()
	c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers(nil)[:5]})
	done := make(chan struct{})
	go func() { c.goAway(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("the connection is still open")
	}
}

// Downloads that share a connection with many others all come to their end,
// byte for byte, while uploads go the other way.
func TestHTTP2Crowd(t *testing.T) {
	s := start(t)
	page := make([]byte, 300<<10)
	for i := range page {
		page[i] = byte(i * i >> 3)
	}
	want := sha256.Sum256(page)
	s.deploy(shop(addr(app(t, func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		io.Copy(h, r.Body)
		if r.Method == "POST" {
			w.Write(h.Sum(nil))
			return
		}
		w.Write(page)
	}))))
	c := s.newClient(true)
	var failed atomic.Int32
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			for range 2 {
				method, body := "GET", io.Reader(nil)
				if i%2 == 0 {
					method, body = "POST", bytes.NewReader(page)
				}
				got := s.doWith(c, request(t, method, shopURL, body))
				if sum := sha256.Sum256([]byte(got.body)); method == "GET" && sum != want || method == "POST" && got.body != string(want[:]) {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d exchanges went wrong", n)
	}
}
