// Package wire is what passes between a user's command and the daemon: frames on
// a unix socket, and the client that speaks them. It is apart from the server so
// that towline-shell, which starts for every command, links next to nothing.
//
// A frame is a type byte, a big-endian 32-bit length and that many bytes. The
// client sends one request, then input; the server sends output and, last, the
// exit code. Input flows only as far as the server has granted with window
// frames: a command that reads no input eats none, and one that reads slowly
// never keeps an interrupt or a hang-up from being seen.
package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"unicode/utf8"
)

// DefaultPath is where the daemon listens unless told otherwise.
const DefaultPath = "/run/towline/towlined.sock"

// Bounds, in bytes. A longer frame is a protocol error.
const (
	MaxPayload = 64 << 10
	MaxRequest = 256 << 10 // twice what Linux lets one environment variable hold
)

// Type says what a frame holds.
type Type byte

// Frames from the client.
const (
	TypeRequest   Type = 'Q' // JSON of Request; first, once
	TypeStdin     Type = 'i'
	TypeStdinEOF  Type = 'e' // empty
	TypeResize    Type = 'z' // rows and columns, 16 bits each
	TypeInterrupt Type = 'c' // empty: the user pressed Ctrl-C
)

// Frames from the server.
const (
	TypeStdout Type = 'o'
	TypeStderr Type = 'r'
	TypeWindow Type = 'w' // 32 bits: so many more bytes of input are welcome
	TypeRaw    Type = 't' // empty: a terminal at the far end takes over the keys
	TypeExit   Type = 'x' // 32 bits; last
)

// Size is that of a terminal window, in characters.
type Size struct{ Rows, Cols uint16 }

// Request is one command line and who asks.
type Request struct {
	// Member is who asks. Empty from root is the machine's own operator.
	Member string `json:"member,omitempty"`
	// Key is the fingerprint of the member's key that sshd has let in.
	Key string `json:"key,omitempty"`
	// Address is where the member's connection came from, as sshd has it.
	Address string   `json:"address,omitempty"`
	Args    []string `json:"args"`
	// App is meant when Args name none: that of the caller's git remote.
	App string `json:"app,omitempty"`
	// Internal says that the words are the program's own and nobody typed them.
	Internal bool `json:"internal,omitempty"`
	// Terminal says that the caller's input and output are one, of type Term.
	Terminal bool   `json:"terminal,omitempty"`
	Term     string `json:"term,omitempty"`
	Rows     uint16 `json:"rows,omitempty"`
	Cols     uint16 `json:"cols,omitempty"`
	// Width is how many columns the output is shown in, in colour with Colour; 0: it is
	// shown to nobody.
	Width  uint16 `json:"width,omitempty"`
	Colour bool   `json:"colour,omitempty"`
}

// ErrProtocol is what the other end may not send.
var ErrProtocol = errors.New("protocol error")

// Conn sends and receives frames. Send may be called from many goroutines at
// once, Receive from one.
type Conn struct {
	net.Conn
	r       *bufio.Reader
	payload []byte

	mu  sync.Mutex // orders frames
	out []byte
}

// NewConn speaks frames over c.
func NewConn(c net.Conn) *Conn { return &Conn{Conn: c, r: bufio.NewReaderSize(c, 16<<10)} }

// Send writes one frame in one write. It blocks while the other end is slow.
func (c *Conn) Send(t Type, payload []byte) error {
	if len(payload) > limit(t) {
		return fmt.Errorf("%w: frame of %d bytes", ErrProtocol, len(payload))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out[:0], byte(t))
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(len(payload)))
	c.out = append(c.out, payload...)
	_, err := c.Write(c.out)
	return err
}

// SendNumber writes a frame that holds one number.
func (c *Conn) SendNumber(t Type, n uint32) error {
	return c.Send(t, binary.BigEndian.AppendUint32(nil, n))
}

// Receive returns the next frame; its payload is good until the next call. The
// error is io.EOF only between frames.
func (c *Conn) Receive() (Type, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, nil, err
	}
	t, n := Type(head[0]), int(binary.BigEndian.Uint32(head[1:]))
	if n > limit(t) {
		return 0, nil, fmt.Errorf("%w: frame %q of %d bytes", ErrProtocol, head[0], n)
	}
	if n > cap(c.payload) {
		c.payload = make([]byte, n)
	}
	p := c.payload[:n]
	if _, err := io.ReadFull(c.r, p); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return t, p, nil
}

func limit(t Type) int {
	if t == TypeRequest {
		return MaxRequest
	}
	return MaxPayload
}

// SendRequest writes r. What JSON cannot carry unchanged is refused: a command
// must not reach the daemon as another than was typed.
func (c *Conn) SendRequest(r Request) error {
	for _, s := range append([]string{r.Member, r.Key, r.App, r.Term}, r.Args...) {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%q is not UTF-8", s)
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(text) > MaxRequest {
		return fmt.Errorf("the command is too long: %d bytes, at most %d", len(text), MaxRequest)
	}
	return c.Send(TypeRequest, text)
}

// ReceiveRequest reads the frame that opens a connection.
func (c *Conn) ReceiveRequest() (r Request, err error) {
	t, p, err := c.Receive()
	if err != nil {
		return r, err
	}
	if t != TypeRequest {
		return r, fmt.Errorf("%w: frame %q before the request", ErrProtocol, byte(t))
	}
	if err := json.Unmarshal(p, &r); err != nil {
		return r, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return r, nil
}

// Number reads the payload of a frame that holds one.
func Number(p []byte) (uint32, error) {
	if len(p) != 4 {
		return 0, fmt.Errorf("%w: number of %d bytes", ErrProtocol, len(p))
	}
	return binary.BigEndian.Uint32(p), nil
}
