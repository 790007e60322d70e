package proxy

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"towline/proxy/message"
)

// halfClosed bounds how long a tunnel's other direction may go on after one
// has ended.
const halfClosed = 10 * time.Second

// upgraded turns the exchange into a tunnel, after the target's 101.
func (x *exchange) upgraded(c *upstream) error {
	h := &x.res
	if x.req.Upgrade == "" || !message.SameToken(h.Upgrade, x.req.Upgrade) {
		return message.ErrBadAnswer
	}
	x.unwatch() // the tunnel reads
	x.status = 101
	if err := x.client.inform(h); err != nil {
		x.fault = "client-gone"
		return errClient
	}
	client, early, ok := x.client.tunnel()
	if !ok {
		return message.ErrBadAnswer
	}
	x.leaveGate()
	c.target.tunnelled(c, client)
	if x.p.stopping.Load() && !x.p.finishing.Load() {
		defer c.target.endTunnels(stopTunnels)()
	}
	opened := &x.service.stats.traffic
	opened.sockets.Add(1)
	x.p.watching.tell()
	defer opened.sockets.Add(-1)
	x.bytes += x.pipe(client, early, c)
	return errClient
}

// pipe copies both ways until both have ended, nothing moved for the idle
// timeout, one of them did not read for as long, or a drain ended it. It returns the
// bytes sent to the client.
func (x *exchange) pipe(client io.ReadWriteCloser, early []byte, c *upstream) int64 {
	idle := x.service.idleTimeout
	var active atomic.Int64
	active.Store(time.Now().UnixNano())
	c.read, c.active = deadline{}, &active
	if h, ok := x.client.(*http1); ok {
		h.raw.active = &active
	}
	counted := &x.service.stats.traffic // as it moves: a WebSocket may be open for days
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer x.p.guard("tunnel", func() { c.Conn.Close() })
		if len(early) > 0 {
			if _, err := c.Write(early); err != nil {
				return
			}
			counted.in.Add(int64(len(early)))
		}
		x.copyTunnel(c, client, &active, idle, &counted.in)
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		time.AfterFunc(halfClosed, func() { c.Conn.Close() })
	}()
	n := int64(0)
	if rest := c.rd.Buffered(); len(rest) > 0 {
		m, _ := client.Write(rest)
		n += int64(m)
		counted.out.Add(int64(m))
	}
	c.rd.Drop() // a tunnel that is idle keeps little memory
	n += x.copyTunnel(client, c, &active, idle, &counted.out)
	client.Close()
	c.Conn.Close()
	<-done
	return n
}

// copyTunnel copies until an end, an error, or until neither direction has
// moved for idle. A read that times out while the other direction is busy goes on.
func (x *exchange) copyTunnel(dst io.Writer, src io.Reader, active *atomic.Int64, idle time.Duration, moved *atomic.Int64) int64 {
	buf := make([]byte, 1<<10)
	timed, _ := src.(interface{ SetReadDeadline(time.Time) error })
	var total int64
	for {
		if timed != nil {
			left := idle - time.Since(time.Unix(0, active.Load()))
			if left <= 0 {
				return total
			}
			_ = timed.SetReadDeadline(time.Now().Add(left))
		}
		n, err := src.Read(buf)
		if n > 0 {
			active.Store(time.Now().UnixNano())
			if _, err := dst.Write(buf[:n]); err != nil {
				return total
			}
			total += int64(n)
			moved.Add(int64(n))
			x.p.watching.tell()
			if n == len(buf) && len(buf) < 32<<10 {
				buf = make([]byte, min(8*len(buf), 32<<10))
			}
		}
		if err != nil && !(errors.Is(err, os.ErrDeadlineExceeded) && timed != nil) {
			return total
		}
	}
}
