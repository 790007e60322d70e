package proxy_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"towline/proxy"
)

// crowd is a proxy with a bound of connections, and its clients.
type crowd struct {
	*stand
	app *thinking
}

func newCrowd(t *testing.T, most int, change ...func(*proxy.Options)) *crowd {
	s := start(t, append(change, func(o *proxy.Options) {
		o.Connections, o.HeaderTimeout, o.KeepAlive = most, time.Hour, time.Hour
	})...)
	a, target := newThinking(t)
	t.Cleanup(func() { close(a.release) })
	s.deploy(patientShop(target))
	return &crowd{s, a}
}

// from connects from one of this machine's addresses.
func (s *crowd) from(ip, to string) net.Conn {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	c, err := d.Dial("tcp", to)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// ask sends a request and returns the answer's body, or why there is none.
func ask(c net.Conn, path string) string {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"); err != nil {
		return err.Error()
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	b, _ := io.ReadAll(res.Body)
	return string(b)
}

// idle is a connection from ip that has asked once, and rests.
func (s *crowd) idle(ip string) net.Conn {
	s.t.Helper()
	before := s.Resting()
	c := s.from(ip, s.HTTPAddr())
	if got := ask(c, "/"); got != "ok" {
		s.t.Fatal(got)
	}
	until(s.t, "the connection rests", func() bool { return s.Resting() == before+1 })
	return c
}

// work has n connections from ip at work.
func (s *crowd) work(ip string, n int) {
	for range n {
		io.WriteString(s.from(ip, s.HTTPAddr()), "GET /slow HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		<-s.app.entered
	}
}

// ends waits until the proxy has ended c.
func ends(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it was not ended: %v", err)
	}
}

// Who sends half a request and waits does not keep others out for as long.
func TestHalfARequestMakesRoom(t *testing.T) {
	const most = 8
	for _, first := range []string{"", "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"} {
		s := newCrowd(t, most)
		for range most {
			c := s.from("127.0.0.1", s.HTTPAddr())
			io.WriteString(c, first+"GET / HTTP/1.1\r\nHo")
		}
		until(t, "all wait", func() bool { return s.Resting() == most })
		if got := ask(s.from("127.0.0.1", s.HTTPAddr()), "/"); got != "ok" {
			t.Errorf("after %q: %s", first, got)
		}
	}
}

// A connection of HTTP/2 waits since its last stream has ended: pings do not make it
// younger, and neither how long that stream took nor that nothing was asked yet makes it older.
func TestHTTP2WaitsSinceItsLastStream(t *testing.T) {
	const most = 8
	idle := func(s *crowd, n int) (list []net.Conn) {
		for range n {
			list = append(list, s.idle("127.0.0.1"))
		}
		return list
	}
	t.Run("pings", func(t *testing.T) {
		s := newCrowd(t, most)
		c := s.speakH2(s.from("127.0.0.1", s.HTTPSAddr()))
		c.get(1)
		c.outcome(1)
		until(t, "it rests", func() bool { return s.Resting() == 1 })
		young := idle(s, most-1)
		for range 3 {
			c.ping()
			c.await(t, func(f http2.Frame) bool { p, ok := f.(*http2.PingFrame); return ok && p.IsAck() })
		}
		until(t, "it rests again", func() bool { return s.Resting() == most })
		s.from("127.0.0.1", s.HTTPAddr())
		ends(t, c)
		for i, o := range young {
			if got := ask(o, "/"); got != "ok" {
				t.Errorf("younger one %d: %s", i, got)
			}
		}
	})
	t.Run("long stream", func(t *testing.T) {
		s := newCrowd(t, most)
		c := s.speakH2(s.from("127.0.0.1", s.HTTPSAddr()))
		c.get(1, [2]string{":path!", "/slow"})
		<-s.app.entered
		old := idle(s, most-1)
		s.app.release <- true
		c.outcome(1)
		until(t, "it rests", func() bool { return s.Resting() == most })
		s.from("127.0.0.1", s.HTTPAddr())
		ends(t, old[0])
		c.get(3)
		if got := c.outcome(3); got != "status 200" {
			t.Error(got)
		}
	})
	t.Run("nothing asked", func(t *testing.T) {
		s := newCrowd(t, most)
		old := idle(s, most-1)
		config := s.tlsConfig()
		config.ServerName, config.NextProtos = "shop.localhost", []string{"h2"}
		raw := tls.Client(s.from("127.0.0.1", s.HTTPSAddr()), config)
		if err := raw.Handshake(); err != nil {
			t.Fatal(err)
		}
		c := &h2Conn{raw, http2.NewFramer(raw, raw)}
		c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		c.await(t, func(f http2.Frame) bool { _, ok := f.(*http2.WindowUpdateFrame); return ok }) // the proxy's greeting
		until(t, "it rests", func() bool { return s.Resting() == most })
		s.from("127.0.0.1", s.HTTPAddr())
		ends(t, old[0])
		io.WriteString(raw, http2.ClientPreface)
		c.framer.WriteSettings()
		c.get(1)
		if got := c.outcome(1); got != "status 200" {
			t.Error(got)
		}
	})
}

// A connection whose answers are complete, but not yet written, is at work.
func TestAnswerThatIsBeingWrittenIsWork(t *testing.T) {
	s := start(t)
	s.deploy(shop(addr(app(t, forVisitors(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 60_000)) })))))
	raw, err := net.Dial("tcp", s.HTTPSAddr())
	if err != nil {
		t.Fatal(err)
	}
	raw.(*net.TCPConn).SetReadBuffer(4 << 10)
	c := s.speakH2(raw)
	c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
	c.framer.WriteWindowUpdate(0, 1<<30)
	answered := func() bool {
		for range 3000 {
			time.Sleep(time.Millisecond)
			if s.inFlight() == 0 {
				return true
			}
		}
		return false
	}
	last := uint32(1)
	for c.get(last); answered(); c.get(last) { // until the kernel takes no more
		last += 2
	}
	c.framer.WriteRSTStream(last, http2.ErrCodeCancel)
	c.framer.WritePing(false, [8]byte{})
	for range 100 {
		if n := s.Resting(); n != 0 {
			t.Fatalf("%d connections rest", n)
		}
		time.Sleep(time.Millisecond)
	}
}

// Nobody alone keeps others out, by any number of connections that are at work.
func TestOneAddressKeepsNobodyOut(t *testing.T) {
	const most = 16
	balancer := netip.MustParsePrefix("127.0.0.9/32")
	s := newCrowd(t, most, func(o *proxy.Options) { o.ProxyProtocol = []netip.Prefix{balancer} })
	s.work("127.0.0.1", most)
	ends(t, s.from("127.0.0.1", s.HTTPAddr()))
	others := []net.Conn{s.from("127.0.0.2", s.HTTPAddr()), s.from("127.0.0.9", s.HTTPAddr())}
	io.WriteString(others[1], "PROXY TCP4 127.0.0.3 127.0.0.1 80 80\r\n")
	for i, c := range others {
		if got := ask(c, "/"); got != "ok" {
			t.Errorf("other %d: %s", i, got)
		}
		c.Close()
	}
	until(t, "they are gone", func() bool { return s.Resting() == 0 })
	c := s.from("127.0.0.9", s.HTTPAddr())
	io.WriteString(c, "PROXY TCP4 127.0.0.1 127.0.0.1 80 80\r\n")
	ends(t, c)
}

// Of an address with more than its share, idle connections make room before older ones of others.
func TestWhoHasManyMakesRoomFirst(t *testing.T) {
	const most = 16
	s := newCrowd(t, most)
	other := s.idle("127.0.0.2")
	var many []net.Conn
	for range most - 1 {
		many = append(many, s.idle("127.0.0.1"))
	}
	if got := ask(s.from("127.0.0.1", s.HTTPAddr()), "/"); got != "ok" {
		t.Error(got)
	}
	ends(t, many[0])
	ends(t, many[1])
	for i, c := range []net.Conn{other, many[2]} {
		if got := ask(c, "/"); got != "ok" {
			t.Errorf("%d: %s", i, got)
		}
	}
}

// stuck is a connection whose Close takes long.
type stuck struct {
	net.Conn
	closing, end chan bool
}

func (c *stuck) Close() error {
	c.closing <- true
	<-c.end
	return nil
}

// While connections are closed to make room, others come and go.
func TestMakingRoomHoldsNobodyUp(t *testing.T) {
	c := &stuck{closing: make(chan bool), end: make(chan bool)}
	defer close(c.end)
	done := make(chan int)
	go func() { done <- proxy.Crowd(1, c, c) }()
	<-c.closing
	select {
	case taken := <-done:
		if taken != 2 {
			t.Errorf("%d connections were taken", taken)
		}
	case <-time.After(10 * time.Second):
		t.Error("the second waits for the end of the first")
	}
}
