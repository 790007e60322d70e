package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"towline/proxy/control"
)

// floods is an app whose WebSockets send without end. It says when one has ended.
func floods(t *testing.T) (target string, ended chan bool) {
	ended = make(chan bool, 10)
	return rawApp(t, func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if req.Header.Get("Upgrade") == "" {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		for err == nil {
			_, err = c.Write(make([]byte, 32<<10))
		}
		ended <- true
	}), ended
}

// unread opens a WebSocket of which nothing is read.
func (s *stand) unread(dial func() net.Conn) net.Conn {
	c := dial()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	c.Read(make([]byte, 1))
	return c
}

func plainShop(target string) control.Service {
	service := shop(target)
	service.Options.PlainHTTP = true
	return service
}

// A client that does not read its WebSocket is given up after the idle timeout, and
// holds up neither a drain nor a stop.
func TestWebSocketsThatNobodyReads(t *testing.T) {
	wait := func(t *testing.T, ended chan bool) {
		t.Helper()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Error("the app's WebSocket is still there")
		}
	}
	t.Run("idle timeout", func(t *testing.T) {
		s := start(t)
		target, ended := floods(t)
		service := plainShop(target)
		service.Options.IdleTimeout = 300 * time.Millisecond
		s.deploy(service)
		for _, dial := range []func() net.Conn{s.dialPlain, s.dialTLS} {
			s.unread(dial)
			wait(t, ended)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("drain", func(t *testing.T) {
		s := start(t)
		target, ended := floods(t)
		s.deploy(plainShop(target))
		for _, dial := range []func() net.Conn{s.dialPlain, s.dialTLS} {
			s.unread(dial)
		}
		s.deploy(plainShop(addr(app(t, says("new")))))
		if err := s.Drain(context.Background(), "shop", 200*time.Millisecond); err != nil {
			t.Error(err)
		}
		wait(t, ended)
		wait(t, ended)
		if err := s.Shutdown(t.Context()); err != nil { // nothing is left that it would wait for
			t.Error(err)
		}
	})
	t.Run("stop", func(t *testing.T) {
		s := start(t)
		target, ended := floods(t)
		s.deploy(plainShop(target))
		for _, dial := range []func() net.Conn{s.dialPlain, s.dialTLS} {
			s.unread(dial)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		wait(t, ended)
		wait(t, ended)
	})
}

// Who reads slowly gets everything, however long that takes.
func TestSlowReadersAreNotGivenUp(t *testing.T) {
	const size = 16 << 20
	s := start(t)
	service := plainShop(addr(app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/large" {
			return
		}
		for range size >> 20 {
			w.Write(make([]byte, 1<<20))
		}
	})))
	service.Options.IdleTimeout = time.Second
	s.deploy(service)
	var wg sync.WaitGroup
	// A small receive buffer: else the kernel reads for the client, and then nothing
	// leaves for a while.
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
		return err
	}}
	for name, address := range map[string]string{"plain": s.HTTPAddr(), "TLS": s.HTTPSAddr()} {
		wg.Go(func() {
			c, err := small.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			raw := c.(*net.TCPConn)
			if name == "TLS" {
				config := s.tlsConfig()
				config.ServerName = "shop.localhost"
				c = tls.Client(c, config)
			}
			io.WriteString(c, "GET /large HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReaderSize(c, 1<<10), nil)
			if err != nil {
				t.Error(err)
				return
			}
			read := int64(0)
			// Some 32 KB/s. A record of TLS is read at once, and holds 16 KB: half a second
			// goes by from one to the next.
			for until := time.Now().Add(4 * time.Second); time.Now().Before(until); time.Sleep(30 * time.Millisecond) {
				n, err := io.CopyN(io.Discard, res.Body, 1<<10)
				if read += n; err != nil {
					t.Errorf("%s: after %d bytes: %v", name, read, err)
					return
				}
			}
			raw.SetReadBuffer(4 << 20)
			rest, err := io.Copy(io.Discard, res.Body)
			if err != nil || read+rest != size {
				t.Errorf("%s: %d bytes and then %d, %v", name, read, rest, err)
			}
		})
	}
	wg.Wait()
}

// A client that does not read holds little of the kernel's memory, and none once it is
// given up: what it has not taken by then does not come any more.
func TestUnreadAnswersHoldLittleMemory(t *testing.T) {
	s := start(t)
	service := plainShop(addr(app(t, func(w http.ResponseWriter, r *http.Request) {
		for err := error(nil); err == nil && r.UserAgent() != "towline-health"; {
			_, err = w.Write(make([]byte, 32<<10))
		}
	})))
	service.Options.IdleTimeout = 300 * time.Millisecond
	s.deploy(service)
	log := filepath.Join(s.options.AccessLog, "shop.log")
	for i, dial := range []func() net.Conn{s.dialPlain, s.dialTLS} {
		c := dial()
		raw := c
		if secure, ok := c.(*tls.Conn); ok {
			raw = secure.NetConn()
		}
		raw.(*net.TCPConn).SetReadBuffer(16 << 10) // what its own kernel holds is not the proxy's
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		most := 0
		until(t, "the client is given up", func() bool {
			most = max(most, waitingFor(t, raw.LocalAddr().(*net.TCPAddr).Port))
			text, _ := os.ReadFile(log)
			return strings.Count(string(text), "error=client-gone") > i
		})
		if most > 512<<10 {
			t.Errorf("connection %d: %d bytes waited", i, most)
		}
		c.SetDeadline(time.Now().Add(30 * time.Second))
		n, err := io.Copy(io.Discard, c)
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("connection %d ends with %v", i, err)
		}
		if n > 1<<20 {
			t.Errorf("connection %d: %d bytes still came", i, n)
		}
	}
}

// waitingFor is how many bytes this process's kernel holds for the peer at that port.
func waitingFor(t *testing.T, port int) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if peer, err := unix.Getpeername(fd); err == nil {
			if a, ok := peer.(*unix.SockaddrInet4); ok && a.Port == port {
				n, _ := unix.IoctlGetInt(fd, unix.TIOCOUTQ)
				return n
			}
		}
	}
	return 0
}
