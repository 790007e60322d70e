package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"

	"towline/proxy"
)

// vanishing is an app that serves until it is gone. Then nobody answers who connects, as
// when a container has just ended and the kernel still looks for it: its queue of new
// connections is full.
type vanishing struct {
	t       *testing.T
	fd      int
	address string
	mu      sync.Mutex // held while it accepts
	gone    bool
}

func newVanishing(t *testing.T) *vanishing {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		err = unix.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	v := &vanishing{t: t, fd: fd, address: fmt.Sprint("127.0.0.1:", name.(*unix.SockaddrInet4).Port)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for v.accept() {
			time.Sleep(time.Millisecond)
		}
	}()
	t.Cleanup(func() {
		v.mu.Lock()
		v.gone = true
		v.mu.Unlock()
		<-done
		unix.Close(fd)
	})
	return v
}

// accept answers one connection, if there is one; false: it is gone.
func (v *vanishing) accept() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gone {
		return false
	}
	if c, _, err := unix.Accept4(v.fd, unix.SOCK_CLOEXEC); err == nil {
		_, _ = unix.Read(c, make([]byte, 10_000))
		_, _ = unix.Write(c, []byte("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone"))
		unix.Close(c)
	}
	return true
}

func (v *vanishing) vanish() {
	v.mu.Lock()
	v.gone = true
	v.mu.Unlock()
	for range 20 {
		c, err := net.DialTimeout("tcp", v.address, 300*time.Millisecond)
		if err != nil {
			return
		}
		v.t.Cleanup(func() { c.Close() })
	}
	v.t.Fatal("its queue has no end")
}

// A process that does not even refuse connections is passed over soon, while there are others.
func TestVanishedTargetIsPassedOver(t *testing.T) {
	s := start(t)
	v := newVanishing(t)
	s.deploy(shop(v.address, addr(app(t, says("ok")))))
	v.vanish()
	began := time.Now()
	for range 4 { // in turn among equals
		if got := s.get(shopURL); got.StatusCode != 200 || got.body != "ok" {
			t.Errorf("%d %q", got.StatusCode, got.body)
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}

// Who waits for a process that a deploy replaces meanwhile is served by the new one.
func TestReplacedTargetIsNotWaitedFor(t *testing.T) {
	s := start(t)
	v := newVanishing(t)
	s.deploy(shop(v.address))
	v.vanish()
	began := time.Now()
	answers := make(chan answer)
	for range 2 {
		go func() { answers <- s.get(shopURL) }()
	}
	until(t, "the requests wait", func() bool { return s.inFlight() == 2 })
	s.deploy(shop(addr(app(t, says("ok")))))
	for range 2 {
		if got := <-answers; got.StatusCode != 200 || got.body != "ok" {
			t.Errorf("%d %q", got.StatusCode, got.body)
		}
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
}

// inFlight counts the requests of all targets that are served.
func (s *stand) inFlight() (n int) {
	s.t.Helper()
	list, err := s.Services(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, service := range list {
		for _, count := range service.InFlight {
			n += count
		}
	}
	return n
}

// A request that one process refused reaches the other with all of its body.
func TestRefusedRequestKeepsItsBody(t *testing.T) {
	s := start(t)
	for _, h2 := range []bool{false, true} {
		c := s.newClient(h2)
		for _, size := range []int{1, 1000, 100_000} {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go http.Serve(l, says("old"))
			s.deploy(shop(l.Addr().String(), addr(app(t, echoBody))))
			l.Close()
			for range 2 { // in turn among equals: one of them meets the process that is gone
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				if err := uploadTo(ctx, c, shopURL, randomBytes(size)); err != nil {
					t.Errorf("HTTP/2: %v, %d bytes: %v", h2, size, err)
				}
				cancel()
			}
		}
	}
}

// A connection that was made while its target was closed is closed too.
func TestConnectionMadeWhileTheTargetCloses(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	if err := proxy.AdmitToClosedTarget(ours); err == nil {
		t.Error("it was admitted")
	}
	theirs.SetDeadline(time.Now().Add(time.Second))
	if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("it is open: %v", err)
	}
}

// A target that takes no connections is not waited for once the client is gone.
func TestClientGoneWhileTheTargetIsConnectedTo(t *testing.T) {
	s := start(t)
	v := newVanishing(t)
	s.deploy(patientShop(v.address))
	v.vanish()
	h2 := s.dialH2()
	for name, visit := range map[string]struct{ come, leave func() }{
		"HTTP/2": {func() { h2.get(1) }, func() { h2.framer.WriteRSTStream(1, http2.ErrCodeCancel) }},
		"HTTP/1.1": func() (visit struct{ come, leave func() }) {
			c := s.dialPlain()
			visit.come = func() {
				io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 9\r\n\r\nx")
			}
			visit.leave = func() { c.Close() }
			return visit
		}(),
	} {
		began := time.Now()
		visit.come()
		until(t, "the request waits", func() bool { return s.inFlight() == 1 })
		visit.leave()
		until(t, "the request is over", func() bool { return s.inFlight() == 0 })
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: the target was waited for for %s", name, took)
		}
	}
}
