// Package socket takes users' commands on a unix socket and hands each to a
// handler. Package wire has the format and the client.
package socket

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"towline/daemon"
	"towline/daemon/socket/wire"
)

// Request is one command line and who asks.
type Request = wire.Request

// Why a call's context ended, by context.Cause, other than the server's own end.
var (
	// ErrHangup: the client is gone; nobody reads the output.
	ErrHangup = errors.New("the client hung up")
	// ErrInterrupted: the user pressed Ctrl-C and waits for the command to end.
	ErrInterrupted = errors.New("interrupted")
)

const (
	requestTimeout = 10 * time.Second // from connection to request
	lingerTimeout  = 5 * time.Second  // of a client that does not take its last output
)

// Handler carries out one call and returns its exit code, 0 to 255. When ctx ends
// it should return soon: see context.Cause for the reason. Work that outlives the
// caller must run under a context of its own.
type Handler func(ctx context.Context, c *Call) int

// Call is a request with its streams, which are good until the handler returns.
type Call struct {
	Request
	Uid uint32 // of the process that asks

	// Stdin ends with io.EOF only where the caller's input did; once the context
	// has ended, it ends with the cause.
	Stdin io.Reader
	// Stdout and Stderr block while the client is slow, and fail once it is gone.
	Stdout, Stderr io.Writer
	// Resize holds the newest window size. It is never closed: select on the
	// context too.
	Resize <-chan daemon.Size

	conn *wire.Conn
	end  context.CancelCauseFunc
}

// Raw hands the caller's terminal to a program at this end: from now on every key
// is sent as it is pressed, and output is shown as it is. Call it before the
// program starts, only if c.Terminal.
func (c *Call) Raw() { _ = c.conn.Send(wire.TypeRaw, nil) }

// End ends the call's context and input with a cause.
func (c *Call) End(cause error) { c.end(cause) }

// Serve takes calls from l until ctx ends, then closes l, ends the calls' contexts
// and returns once every handler has. Processes of a user for whom allow is false
// are turned away.
func Serve(ctx context.Context, l net.Listener, allow func(uid uint32) bool, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()

	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel()
	for {
		nc, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				nc.Close()
			}
			return nil
		}
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ECONNABORTED) {
			// Files become free as calls end; nothing tells when.
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if err != nil {
			return err
		}
		calls.Go(func() {
			defer nc.Close()
			defer daemon.Contain("a connection", nil)
			serve(ctx, nc, allow, h)
		})
	}
}

func serve(ctx context.Context, nc net.Conn, allow func(uid uint32) bool, h Handler) {
	conn := wire.NewConn(nc)
	hasty := context.AfterFunc(ctx, func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(requestTimeout))
	uid, err := peer(nc)
	if err == nil && !allow(uid) {
		err = fmt.Errorf("user %d may not use this socket", uid)
	}
	var req Request
	if err == nil {
		req, err = conn.ReceiveRequest()
	}
	if err != nil {
		_ = conn.Send(wire.TypeStderr, []byte(" !     "+err.Error()+"\n"))
		_ = conn.SendNumber(wire.TypeExit, 1)
		return
	}
	nc.SetDeadline(time.Time{})
	if !hasty() {
		return
	}

	defer context.AfterFunc(ctx, func() { nc.SetWriteDeadline(time.Now().Add(lingerTimeout)) })()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resize := make(chan daemon.Size, 1)
	s := &session{conn: conn, cancel: cancel, resize: resize, stdin: newInbox(conn)}
	defer context.AfterFunc(ctx, func() { s.stdin.end(context.Cause(ctx)) })()
	received := make(chan struct{})
	go func() {
		defer close(received)
		defer daemon.Contain("a connection", nil)
		s.receive()
	}()

	code := handle(ctx, h, &Call{
		Request: req, Uid: uid, Stdin: s.stdin, Resize: resize, conn: conn, end: cancel,
		Stdout: &output{s, wire.TypeStdout}, Stderr: &output{s, wire.TypeStderr},
	})

	s.over.Store(true)
	nc.SetDeadline(time.Now().Add(lingerTimeout))
	if conn.SendNumber(wire.TypeExit, uint32(code)) == nil {
		<-received // the client closes once it has read the exit code
	}
}

// handle calls h. A panic ends this call alone, with exit code 1.
func handle(ctx context.Context, h Handler, c *Call) (code int) {
	code = 1
	var err error
	defer func() {
		if err != nil {
			fmt.Fprintf(c.Stderr, " !     %v\n", err)
		}
	}()
	defer daemon.Contain("a command", &err)
	return h(ctx, c)
}

// peer is the user of the process at the other end.
func peer(nc net.Conn) (uint32, error) {
	u, ok := nc.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var serr error
	err = raw.Control(func(fd uintptr) {
		cred, serr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, serr); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// session is the server's side of a call.
type session struct {
	conn   *wire.Conn
	cancel context.CancelCauseFunc
	stdin  *inbox
	resize chan daemon.Size
	over   atomic.Bool // the handler has returned
}

// receive takes what the client sends until it hangs up. It never waits for the
// handler.
func (s *session) receive() {
	defer s.conn.Close() // fails a write that waits for a client that is gone
	defer s.cancel(ErrHangup)
	for {
		t, p, err := s.conn.Receive()
		if err != nil {
			return
		}
		switch t {
		case wire.TypeStdin:
			if !s.stdin.put(p) {
				return
			}
		case wire.TypeStdinEOF:
			s.stdin.end(io.EOF)
		case wire.TypeInterrupt:
			s.cancel(ErrInterrupted)
		case wire.TypeResize:
			if len(p) != 4 {
				return
			}
			size := daemon.Size{Rows: binary.BigEndian.Uint16(p), Cols: binary.BigEndian.Uint16(p[2:])}
			select {
			case <-s.resize: // outdated
			default:
			}
			s.resize <- size // this goroutine is the only sender
		default:
			return
		}
	}
}

// output writes one of the two output streams.
type output struct {
	s *session
	t wire.Type
}

func (o *output) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if o.s.over.Load() {
			return n, io.ErrClosedPipe
		}
		chunk := p[n:min(len(p), n+wire.MaxPayload)]
		if err := o.s.conn.Send(o.t, chunk); err != nil {
			return n, err
		}
		n += len(chunk)
	}
	return n, nil
}
