package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// listen opens every listener and starts to accept.
func (p *Proxy) listen() error {
	o := &p.options
	p.conns.most, p.conns.full = o.Connections, func(ended int) {
		o.Log.Warn("there are as many client connections as there may be", "most", o.Connections, "idle ones that were ended", ended)
	}
	secure, err := open(o.HTTPSListener, o.HTTPS)
	if err != nil {
		return err
	}
	plain, err := open(o.HTTPListener, o.HTTP)
	if err != nil {
		closeAll(secure)
		return err
	}
	if secure != nil {
		p.httpsPort, p.addrs.https = portOf(secure.Addr()), secure.Addr().String()
		p.onStop(p.conns.close)
		p.named = append(p.named, namedListener{secure, "https"})
		p.onStop(func() { secure.Close() })
	}
	if plain != nil {
		p.httpPort, p.addrs.http = portOf(plain.Addr()), plain.Addr().String()
		p.onStop(p.conns.close)
		p.named = append(p.named, namedListener{plain, "http"})
		p.onStop(func() { plain.Close() })
	}
	if err := p.listenControl(); err != nil {
		return err
	}
	if err := p.listenMetrics(); err != nil {
		return err
	}
	if secure != nil {
		go p.accept(secure, true)
	}
	if plain != nil {
		go p.accept(plain, false)
	}
	return nil
}

func open(given net.Listener, address string) (net.Listener, error) {
	if given != nil || address == "" {
		return given, nil
	}
	return net.Listen("tcp", address)
}

// unsentMost is how much may wait in the kernel, in bytes, for a client to have room for it:
// else each that asks and does not read takes megabytes of the memory of all connections,
// for as long as it likes, without the proxy knowing. What is on its way does not count.
const unsentMost = 256 << 10

// boundUnsent sets that bound. From a listener, which may be one of MPTCP, connections do
// not inherit it.
func boundUnsent(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := t.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentMost)
		})
	}
}

func closeAll(list ...net.Listener) {
	for _, l := range list {
		if l != nil {
			l.Close()
		}
	}
}

// listenControl serves the control socket, which only its owner may use.
func (p *Proxy) listenControl() error {
	l, path := p.options.ControlListener, p.options.Control
	if l == nil && path == "" {
		return nil
	}
	if l == nil {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		// What a killed proxy left behind; one that runs would answer.
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return errors.New("another towline-proxy answers at " + path)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		var err error
		if l, err = net.Listen("unix", path); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o600); err != nil {
			l.Close()
			return err
		}
	}
	p.addrs.control = l.Addr().String()
	p.named = append(p.named, namedListener{l, "control"})
	p.serveHTTP(l, p.controlHandler())
	return nil
}

func (p *Proxy) listenMetrics() error {
	l, err := open(p.options.MetricsListener, p.options.Metrics)
	if err != nil || l == nil {
		return err
	}
	p.addrs.metrics = l.Addr().String()
	p.named = append(p.named, namedListener{l, "metrics"})
	p.serveHTTP(l, p.metricsHandler())
	return nil
}

// Listeners are the open listeners, for a process that takes over, with their
// names: http, https, control, metrics.
func (p *Proxy) Listeners() (listeners []net.Listener, names []string) {
	for _, l := range p.named {
		listeners, names = append(listeners, l.Listener), append(names, l.name)
	}
	return listeners, names
}

// namedListener is one that can be handed over.
type namedListener struct {
	net.Listener
	name string
}

// serveHTTP serves what is not on a visitor's path.
func (p *Proxy) serveHTTP(l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 32 << 10}
	p.onStop(func() {
		// An answer that is being written gets out.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = errors.Join(s.Shutdown(ctx), s.Close())
	})
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			p.options.Log.Error("listener failed", "address", l.Addr().String(), "error", err)
		}
	}()
}

// accept gives every connection a goroutine of its own.
func (p *Proxy) accept(l net.Listener, secure bool) {
	pause := 5 * time.Millisecond
	for {
		raw, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of file descriptors, most likely: wait for some to be closed.
			p.options.Log.Warn("accept failed", "error", err)
			time.Sleep(pause)
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 5 * time.Millisecond
		boundUnsent(raw)
		p.fresh.add()
		c := &clientConn{p: p, raw: &wire{Conn: raw}, peer: addrOf(raw.RemoteAddr()), port: uint16(portOf(l.Addr())), secure: secure, begun: time.Now()}
		go c.open()
	}
}

// wake shortens the wait for a next request.
func (h *http1) wake() {
	if h.idle.Load() {
		_ = h.raw.SetReadDeadline(time.Now().Add(freshWait))
	}
}

// closeListeners stops accepting; connections stay.
func (p *Proxy) closeListeners() {
	for _, l := range p.named {
		l.Close()
	}
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("") // no range of addresses has one
	}
	return netip.IPv4Unspecified()
}
