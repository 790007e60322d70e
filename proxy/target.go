package proxy

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"towline/proxy/control"
	"towline/proxy/message"
)

const (
	// dialTimeout bounds a connection attempt to a target: while the queue of one that is busy
	// is full, the kernel drops what comes, and asks again after 1, 3, 7 and 15 s. dialPatience bounds one while there
	// are others. A container that has just gone is waited for by the kernel for 3 s.
	dialTimeout  = 20 * time.Second
	dialPatience = 500 * time.Millisecond
	// idleLimit is how long a connection to a target is kept unused. Servers
	// commonly close theirs after 5 s and more; ours must go first.
	idleLimit = 4 * time.Second
	// maxIdle bounds the unused connections kept to one target.
	maxIdle = 256
)

// target is one process that requests are sent to. It lives from the deploy
// that brings it until it is drained.
type target struct {
	spec    control.Target
	health  control.Health
	host    string      // of a visitor, for probes; empty: its address
	running inflight    // requests and tunnels
	out     atomic.Bool // no longer in the table: take nothing new
	ejected atomic.Bool
	ctx     context.Context // ends when the target is closed
	cancel  context.CancelFunc
	serving context.Context // ends when it is retired: who still waits for a connection goes elsewhere
	leave   context.CancelFunc

	mu   sync.Mutex
	idle []*upstream          // oldest first
	open map[*upstream]string // all connections; the value is "tunnel" for those
	h2   *h2Pool
}

func newTarget(spec control.Target, health control.Health) *target {
	t := &target{spec: spec, health: health, open: map[*upstream]string{}}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.serving, t.leave = context.WithCancel(t.ctx)
	return t
}

// upstream is one connection to a target.
type upstream struct {
	wire
	target *target
	rd     message.Reader
	body   message.Body
	since  time.Time // when it became idle
	read   deadline
	sys    syscall.RawConn
	peek   func(fd uintptr) // sets quiet; kept, so that a look allocates nothing
	quiet  bool
	byte   [1]byte
	client io.Closer // of a tunnel: its other side; guarded by target.mu
}

func newUpstream(t *target, raw net.Conn) *upstream {
	c := &upstream{wire: wire{Conn: raw}, target: t}
	c.rd.Src = raw
	c.peek = func(fd uintptr) {
		// It does not wait, so the scheduler need not know; syscall.Recvfrom allocates.
		_, _, err := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&c.byte)), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		c.quiet = err == syscall.EAGAIN
	}
	if sys, ok := raw.(syscall.Conn); ok {
		c.sys, _ = sys.SyscallConn() // of a TCP connection it never fails
	}
	return c
}

// kept returns an unused connection; nil: there is none. One that the target has closed,
// or on which it said something that nobody asked for, is passed over: those bytes would
// become the answer to the next request (RFC 9112 9.2).
func (t *target) kept(now time.Time) *upstream {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := len(t.idle); n > 0; n = len(t.idle) {
		c := t.idle[n-1]
		t.idle[n-1] = nil
		t.idle = t.idle[:n-1]
		if now.Sub(c.since) < idleLimit {
			t.mu.Unlock()
			alive := c.alive()
			if !alive {
				t.abandon(c)
			}
			t.mu.Lock()
			if alive {
				return c
			}
			continue
		}
		// The rest is older still.
		t.closeIdleLocked()
		delete(t.open, c)
		c.Conn.Close()
	}
	return nil
}

// connect makes a new connection within that time.
func (t *target) connect(ctx context.Context, within time.Duration) (*upstream, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	raw, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	return t.admit(raw)
}

// admit notes a new connection, unless the target was closed while it was made: then
// nobody would cut it any more.
func (t *target) admit(raw net.Conn) (*upstream, error) {
	c := newUpstream(t, raw)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ctx.Err(); err != nil {
		raw.Close()
		return nil, err
	}
	t.open[c] = ""
	return c, nil
}

// alive looks, without waiting, whether the target has closed c or said
// something that nobody asked for.
func (c *upstream) alive() bool {
	c.quiet = false
	return c.sys != nil && c.sys.Control(c.peek) == nil && c.quiet
}

// dialer reaches what is on a network of this machine's alone (SO_DONTROUTE, see
// socket(7)). The bridge of an app whose last container ended is gone; by the
// default route, what its visitors send would leave for whoever has the address.
var dialer = net.Dialer{Timeout: dialTimeout, KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
	var err error
	cerr := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_DONTROUTE, 1)
	})
	return errors.Join(cerr, err)
}}

func (t *target) dial(ctx context.Context) (net.Conn, error) {
	return dialer.DialContext(ctx, "tcp", t.spec.Address)
}

// put keeps c for the next request.
func (t *target) put(c *upstream, now time.Time) {
	c.rd.Release()
	c.since = now
	t.mu.Lock()
	if t.out.Load() || len(t.idle) >= maxIdle {
		delete(t.open, c)
		t.mu.Unlock()
		c.Conn.Close()
		return
	}
	t.idle = append(t.idle, c)
	t.mu.Unlock()
}

// discard closes c.
func (t *target) discard(c *upstream) {
	t.abandon(c)
	c.rd.Drop()
}

// abandon closes c whose buffer somebody may still use.
func (t *target) abandon(c *upstream) {
	t.mu.Lock()
	delete(t.open, c)
	t.mu.Unlock()
	c.Conn.Close()
}

func (t *target) closeIdleLocked() {
	for _, c := range t.idle {
		delete(t.open, c)
		c.Conn.Close()
	}
	t.idle = nil
}

// prune closes connections that have been idle for too long.
func (t *target) prune(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep := 0
	for keep < len(t.idle) && now.Sub(t.idle[keep].since) >= idleLimit {
		delete(t.open, t.idle[keep])
		t.idle[keep].Conn.Close()
		keep++
	}
	if keep > 0 {
		t.idle = append([]*upstream(nil), t.idle[keep:]...)
	}
}

// tunnelled notes that c now carries a WebSocket to client.
func (t *target) tunnelled(c *upstream, client io.Closer) {
	t.mu.Lock()
	t.open[c], c.client = "tunnel", client
	t.mu.Unlock()
}

// goodbye is how long a client has to take what its tunnel still holds for it.
const goodbye = time.Second

// endTunnel ends c, which carries a WebSocket to client, one that does not read as well.
func endTunnel(c *upstream, client io.Closer) {
	c.Conn.Close()
	time.AfterFunc(goodbye, func() { client.Close() })
}

// endTunnels ends the WebSockets one by one within that time, at random, so that their
// clients do not all come back at once. stop keeps those open that are.
func (t *target) endTunnels(within time.Duration) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var timers []*time.Timer
	for c, what := range t.open {
		if what == "tunnel" && within > 0 {
			client := c.client
			timers = append(timers, time.AfterFunc(rand.N(within), func() { endTunnel(c, client) }))
		}
	}
	return func() {
		for _, timer := range timers {
			timer.Stop()
		}
	}
}

// retire keeps new requests out. Those that were just choosing this target
// notice and choose again.
func (t *target) retire() {
	t.out.Store(true)
	t.leave()
	t.mu.Lock()
	t.closeIdleLocked()
	t.mu.Unlock()
}

// drain waits until nothing is in flight, or for budget; then it cuts what is
// left. WebSockets are closed over the budget.
func (t *target) drain(ctx context.Context, budget time.Duration) error {
	ctx2, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	defer t.endTunnels(budget)()
	err := t.running.wait(ctx2)
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	t.close()
	return nil
}

// close cuts every connection.
func (t *target) close() {
	t.cancel()
	t.out.Store(true)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = nil
	for c := range t.open {
		c.Conn.Close()
		if c.client != nil {
			endTunnel(c, c.client)
		}
	}
	clear(t.open)
	if t.h2 != nil {
		t.h2.close()
	}
}

// eject keeps requests away from a target that does not answer and polls it
// until it does.
func (t *target) eject() {
	if t.out.Load() || !t.ejected.CompareAndSwap(false, true) {
		return
	}
	go func() {
		if t.poll(t.ctx, 0) == nil {
			t.ejected.Store(false)
		}
	}()
}
