package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"
)

// clientConn is a client's connection, from accept to close. One goroutine at a
// time has it: that of open, and then those of serve. Each begins with a small
// stack: a handshake, or a request, leaves a deep one behind.
type clientConn struct {
	p      *Proxy
	raw    *wire
	tls    *tls.Conn // nil: plain
	peer   netip.Addr
	port   uint16
	secure bool
	http1  *http1    // nil: not yet, or HTTP/2
	old    bool      // it has sent a request, or was given up
	begun  time.Time // when it was accepted

	// Guarded by clientConns.mu:

	wake    func()       // ends its wait for a next request
	resting func() int64 // since when it waits for one
	from    netip.Prefix // whom it is counted by
	ending  bool         // it is to make room
}

// restsSince is since when the client is waited for, in Unix nanoseconds; 0: it is not.
// Guarded by clientConns.mu.
func (c *clientConn) restsSince() int64 {
	if c.resting == nil {
		return c.begun.UnixNano() // it shakes hands
	}
	return c.resting()
}

// open does what comes before the first request.
func (c *clientConn) open() {
	ready := false
	defer func() {
		if !ready {
			c.close()
		}
	}()
	defer c.p.guard("connection", nil)
	if !c.p.conns.add(c) || !c.introduce() || !c.handshake() {
		return
	}
	ready = true
	go c.serve()
}

// introduce reads the PROXY header, if the peer must send one.
func (c *clientConn) introduce() bool {
	o := &c.p.options
	if len(o.ProxyProtocol) == 0 || !within(o.ProxyProtocol, c.peer) {
		return true
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(o.HeaderTimeout))
	src, dst, err := readProxyHeader(c.raw)
	if errors.Is(err, errNoProxyHeader) {
		return false // how balancers see whether anybody listens
	}
	if err != nil {
		o.Log.Warn("connection without a valid PROXY header", "from", c.peer, "error", err)
		return false
	}
	if dst.IsValid() {
		c.port = dst.Port()
	}
	if src.IsValid() {
		c.peer = src.Addr().Unmap()
		return c.p.conns.move(c, c.peer)
	}
	return true
}

func (c *clientConn) handshake() bool {
	if !c.secure {
		return true
	}
	t := tls.Server(newClientSocket(c.raw), c.p.tls)
	_ = c.raw.SetDeadline(time.Now().Add(c.p.options.HeaderTimeout))
	if t.Handshake() != nil {
		return false
	}
	_ = c.raw.SetDeadline(time.Time{})
	c.tls = t
	return true
}

func (c *clientConn) serve() {
	parked := false
	defer func() {
		if !parked {
			c.close()
		}
	}()
	defer c.p.guard("connection", nil)
	if c.tls != nil && c.tls.ConnectionState().NegotiatedProtocol == "h2" {
		c.serveHTTP2()
		return
	}
	if c.http1 == nil {
		stream := net.Conn(c.raw)
		if c.tls != nil {
			stream = c.tls
		}
		c.http1 = newHTTP1(c.p, c.raw, stream, c.peer, c.port, c.secure)
		c.http1.settle = c.settle
		c.p.conns.onWait(c, c.http1.wake, c.http1.waits.Load)
	}
	if parked = c.http1.serve(); parked {
		go c.serve()
	}
}

func (c *clientConn) serveHTTP2() {
	// GOAWAY tells an HTTP/2 client to go elsewhere with its first request.
	c.settle()
	c.raw.idle = defaultIdleTimeout
	h := newHTTP2(c.p, c.raw.Conn, c.tls, c.peer, c.port)
	if s, ok := c.tls.NetConn().(*clientSocket); ok {
		s.gathers, s.dry, h.gathers = h.gathered, h.dry, true
		s.bulk, s.expired = h.bulk, h.waited
	}
	c.p.conns.onWait(c, h.wake, h.restsSince)
	if c.p.stopping.Load() {
		h.wake() // the stop may have woken all before this one
	}
	h.serve()
}

// settle notes that the connection has had its first request, or ended without.
func (c *clientConn) settle() {
	if !c.old {
		c.old = true
		c.p.fresh.done()
	}
}

func (c *clientConn) close() {
	if c.tls != nil {
		_ = c.tls.Close() // tells the client that this is the end and not an attack
	}
	c.raw.Close()
	c.p.conns.remove(c)
	c.settle()
}
