package proxy_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"towline/proxy"
)

// every runs f over and over until the test ends.
func every(t *testing.T, d time.Duration, f func()) {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				f()
			case <-ctx.Done():
				return
			}
		}
	}()
}

// megabytes is an app whose answers are of one megabyte. It says when a client is gone.
func megabytes(t *testing.T) (target string, entered, gone chan bool) {
	entered, gone = make(chan bool, 1000), make(chan bool, 1000)
	return addr(app(t, forVisitors(func(w http.ResponseWriter, r *http.Request) {
		entered <- true
		for range 1 << 4 {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				break
			}
		}
		<-r.Context().Done()
		gone <- true
	}))), entered, gone
}

// exhaust opens stream 1 with windows without end of its own, and reads until there is
// no more window of the connection.
func (c *h2Conn) exhaust(t *testing.T) {
	t.Helper()
	c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
	c.get(1)
	for left := 65535; left > 0; {
		f, err := c.framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := f.(*http2.DataFrame); ok {
			left -= len(d.Data())
		}
	}
}

// await reads until a frame is what is asked for.
func (c *h2Conn) await(t *testing.T, what func(http2.Frame) bool) {
	t.Helper()
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if what(f) {
			return
		}
	}
}

// An upload that has stalled is given up after the idle timeout, whatever else the
// client sends for its stream.
func TestHTTP2StalledUploadsAreNotKeptByOtherFrames(t *testing.T) {
	s := start(t)
	service := shop(addr(app(t, forVisitors(echoBody))))
	service.Options.IdleTimeout = time.Second
	s.deploy(service)
	c := s.dialH2()
	c.open(1)
	every(t, 50*time.Millisecond, func() { c.framer.WriteWindowUpdate(1, 1<<10) })
	if got := c.outcome(1); got != "reset 2" {
		t.Errorf("got %s, want that the stream is reset", got)
	}
}

// Answers for which a client leaves the connection no window are given up after the idle
// timeout, also those that waited for their turn when the window ended.
func TestHTTP2AnswersWithoutConnectionWindow(t *testing.T) {
	s := start(t)
	target, entered, gone := megabytes(t)
	service := shop(target)
	service.Options.IdleTimeout = time.Second
	s.deploy(service)
	c := s.dialH2()
	c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
	c.framer.WriteWindowUpdate(0, 20<<20) // more than the kernels hold
	const streams = 60
	for i := range uint32(streams) {
		c.get(2*i + 1)
		<-entered
	}
	for ended := 0; ended < streams; {
		c.await(t, func(f http2.Frame) bool { return f.Header().Type == http2.FrameRSTStream })
		ended++
	}
	for range streams {
		<-gone
	}
}

// A client that lets the connection's window drip keeps no answer for ever.
func TestHTTP2ConnectionWindowThatDrips(t *testing.T) {
	s := start(t, func(o *proxy.Options) { o.UploadGrace = 500 * time.Millisecond })
	target, _, _ := megabytes(t)
	s.deploy(shop(target))
	c := s.dialH2()
	c.exhaust(t)
	c.get(3)
	every(t, 50*time.Millisecond, func() { c.framer.WriteWindowUpdate(0, 1) })
	if got := c.outcome(3); got != "reset 2" {
		t.Errorf("got %s, want that the stream is reset", got)
	}
}

// Window of the connection goes to a stream that can use it, though one that was reset
// had waited for longer.
func TestHTTP2WindowPassesByResetStreams(t *testing.T) {
	s := start(t)
	target, _, gone := megabytes(t)
	service := shop(target)
	service.Options.IdleTimeout = 20 * time.Second
	s.deploy(service)
	c := s.dialH2()
	c.exhaust(t)
	c.get(3)
	c.await(t, func(f http2.Frame) bool { return f.Header().Type == http2.FrameHeaders && f.Header().StreamID == 3 })
	c.framer.WriteRSTStream(1, http2.ErrCodeCancel)
	<-gone
	c.framer.WritePing(false, [8]byte{})
	c.await(t, func(f http2.Frame) bool { return f.Header().Type == http2.FramePing })
	c.framer.WriteWindowUpdate(0, 100)
	c.await(t, func(f http2.Frame) bool {
		switch f.(type) {
		case *http2.RSTStreamFrame:
			t.Fatal("the stream was given up, with a window of 100 bytes")
		case *http2.DataFrame:
			return true
		}
		return false
	})
}

// What has come of a long upload reaches the app though the client stops in the middle.
func TestBeginningOfALongUploadIsHandedOn(t *testing.T) {
	s := start(t)
	got := make(chan int)
	s.deploy(shop(addr(app(t, func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 32<<10)
		for {
			n, err := r.Body.Read(b)
			if n > 0 {
				got <- n
			}
			if err != nil {
				return
			}
		}
	}))))
	pieces, body := io.Pipe()
	r := request(t, "POST", shopURL, pieces)
	r.ContentLength = 10 << 20
	go s.newClient(true).Do(r)
	for _, size := range []int{100, 10_000, 100_000, 300_000, 7} {
		body.Write(make([]byte, size))
		for left := size; left > 0; {
			select {
			case n := <-got:
				left -= n
			case <-time.After(10 * time.Second):
				t.Fatalf("of %d bytes %d do not come", size, left)
			}
		}
	}
	body.CloseWithError(io.ErrUnexpectedEOF)
}
