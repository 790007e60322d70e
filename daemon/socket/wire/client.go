package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// ErrUnavailable is a daemon that does not answer, or stopped answering before
// the command's end.
var ErrUnavailable = errors.New("the daemon does not answer")

// Streams connect a command to its caller. Stdin may be nil for none; nil
// channels and a nil Raw are fine. An output that fails ends the call.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resize         <-chan Size
	Interrupt      <-chan struct{}
	// Raw is called once when the far end wants every key as it is pressed.
	Raw func()
}

// Run has the daemon at path carry out req and returns its exit code. Cancelling
// ctx hangs up: what the daemon does then depends on the command. A read of
// Stdin that has begun is left behind.
func Run(ctx context.Context, path string, req Request, s Streams) (exit int, err error) {
	nc, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()

	c := &client{conn: NewConn(nc), streams: s, granted: make(chan struct{}, 1), done: make(chan struct{})}
	defer close(c.done)
	if err := c.conn.SendRequest(req); err != nil && !isNet(err) {
		return 0, err
	}
	// A failed write is told by the read: the daemon may have said why.
	go c.sendEvents()
	exit, err = c.receive()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return exit, err
}

func isNet(err error) bool {
	var ne *net.OpError
	return errors.As(err, &ne)
}

type client struct {
	conn    *Conn
	streams Streams
	done    chan struct{}

	mu      sync.Mutex
	credit  uint32        // bytes of input that the daemon still takes
	granted chan struct{} // credit became more than 0
}

// receive copies output until the exit code.
func (c *client) receive() (int, error) {
	started := false
	for {
		t, p, err := c.conn.Receive()
		if errors.Is(err, ErrProtocol) {
			return 0, err
		}
		if err != nil {
			return 0, fmt.Errorf("%w: the connection was lost", ErrUnavailable)
		}
		switch t {
		case TypeStdout:
			_, err = c.streams.Stdout.Write(p)
		case TypeStderr:
			_, err = c.streams.Stderr.Write(p)
		case TypeRaw:
			if c.streams.Raw != nil {
				c.streams.Raw()
			}
		case TypeWindow:
			n, nerr := Number(p)
			err = nerr
			c.grant(n)
			if !started {
				started = true
				go c.sendStdin()
			}
		case TypeExit:
			code, err := Number(p)
			return int(code), err
		default:
			err = fmt.Errorf("%w: frame %q from the daemon", ErrProtocol, byte(t))
		}
		if err != nil {
			return 0, err
		}
	}
}

func (c *client) grant(n uint32) {
	c.mu.Lock()
	c.credit += n
	c.mu.Unlock()
	select {
	case c.granted <- struct{}{}:
	default:
	}
}

// sendStdin reads input only as far as it was asked for.
func (c *client) sendStdin() {
	if c.streams.Stdin == nil {
		_ = c.conn.Send(TypeStdinEOF, nil)
		return
	}
	buf := make([]byte, MaxPayload)
	for {
		c.mu.Lock()
		credit := c.credit
		c.mu.Unlock()
		if credit == 0 {
			select {
			case <-c.granted:
				continue
			case <-c.done:
				return
			}
		}
		n, err := c.streams.Stdin.Read(buf[:min(credit, MaxPayload)])
		if n > 0 {
			c.mu.Lock()
			c.credit -= uint32(n)
			c.mu.Unlock()
			if c.conn.Send(TypeStdin, buf[:n]) != nil {
				return
			}
		}
		if err == io.EOF {
			_ = c.conn.Send(TypeStdinEOF, nil)
			return
		}
		if err != nil {
			// Half an input must not pass for a whole one.
			c.conn.Close()
			return
		}
	}
}

func (c *client) sendEvents() {
	for {
		var err error
		select {
		case <-c.done:
			return
		case s := <-c.streams.Resize:
			err = c.conn.Send(TypeResize, []byte{byte(s.Rows >> 8), byte(s.Rows), byte(s.Cols >> 8), byte(s.Cols)})
		case <-c.streams.Interrupt:
			err = c.conn.Send(TypeInterrupt, nil)
		}
		if err != nil {
			return
		}
	}
}
