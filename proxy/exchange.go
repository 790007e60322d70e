package proxy

import (
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"towline/proxy/message"
)

// exchange is one request and its answer. The server side of either protocol
// fills in the request and is the client's end of the answer.
type exchange struct {
	p      *Proxy
	req    *message.Head
	body   requestBody // nil: none
	client client

	protocol string     // "h1" or "h2", for the log
	peer     netip.Addr // who sent it, as the PROXY protocol says
	port     uint16     // that it came in at, or where HTTPS is served
	tls      bool

	start   time.Time
	id      [idSize]byte
	idText  string
	service *service
	target  *target
	inside  *gate  // the gate it must leave
	cut     cutter // closes the target's connection when the client resets its stream
	connect time.Duration
	status  int
	bytes   int64
	in      int64         // bytes of the request's body that went to targets
	first   time.Duration // from start until the target's answer began; 0: it did not

	own     bool   // the answer is the proxy's own
	early   bool   // the answer began before the request's body was read
	watched bool   // an eye is kept on the client while the target is waited for
	fault   string // why it failed, for the log; static text

	res    message.Head
	out    sendBuffer
	broken uint32  // the code by which such a target reset its stream; 0: none
	replay *replay // of an exchange that a target which speaks HTTP/2 refused
}

// requestBody is the body of a request. Read follows io.Reader.
type requestBody interface {
	io.Reader
	Trailers() []message.Field
	// Whole returns all of the body if it has arrived and fits into limit bytes.
	Whole(limit int) ([]byte, bool)
	// Cancel makes a Read that waits in another goroutine return an error.
	Cancel()
}

// client is the end of an exchange that faces the client. A client is used by
// one goroutine at a time; an error means that the client is gone.
type client interface {
	// inform sends an interim (1xx) answer at once.
	inform(h *message.Head) error
	// begin starts the final answer. length is that of the body, -1 when it is
	// not known, 0 when there is none; nothing need be sent before flush.
	begin(x *exchange, h *message.Head, length int64, bodyless bool) error
	// space is where the next part of the body can be put, never empty.
	space() ([]byte, error)
	// wrote takes over the first n bytes of space.
	wrote(n int) error
	flush() error
	// end completes the answer and flushes.
	end(trailers []message.Field) error
	// abort breaks the answer off in a way that the client cannot take for its end.
	abort()
	// tunnel turns the connection into a byte stream, after a 101.
	tunnel() (io.ReadWriteCloser, []byte, bool)
}

// sendBuffer is memory for what goes to the target; kept with the exchange so
// that a request allocates nothing.
type sendBuffer struct{ b []byte }

func (x *exchange) reset() {
	x.body, x.client, x.req = nil, nil, nil
	x.protocol, x.peer, x.port, x.tls = "", netip.Addr{}, 0, false
	x.start, x.idText, x.service, x.target, x.inside = time.Time{}, "", nil, nil, nil
	x.connect, x.status, x.bytes, x.fault, x.own, x.early = 0, 0, 0, "", false, false
	x.in, x.first = 0, 0
	x.out.b = x.out.b[:0]
	x.replay, x.broken = nil, 0
	x.res.Reset()
}

// fail answers with an error page of the proxy's own. It must be called before
// the answer began.
func (x *exchange) fail(status int, fault string) error {
	x.fault = fault
	return x.page(status, x.errorPage(status))
}

// page answers with HTML.
func (x *exchange) page(status int, html string, extra ...message.Field) error {
	h := &x.res
	h.Reset()
	h.Status = status
	h.Fields = append(h.Fields,
		message.Field{Name: "Content-Type", Value: "text/html; charset=utf-8"},
		message.Field{Name: "Cache-Control", Value: "no-store"})
	if status == 503 && !slices.ContainsFunc(extra, func(f message.Field) bool { return f.Name == "Retry-After" }) {
		h.Fields = append(h.Fields, message.Field{Name: "Retry-After", Value: "5"})
	}
	h.Fields = append(h.Fields, extra...)
	return x.reply(html)
}

// plain answers with text.
func (x *exchange) plain(text string) error {
	x.res.Reset()
	x.res.Status = 200
	x.res.Fields = append(x.res.Fields, message.Field{Name: "Content-Type", Value: "text/plain"})
	return x.reply(text)
}

// reply sends x.res with a body that is at hand.
func (x *exchange) reply(content string) error {
	h := &x.res
	addDate(h)
	x.status, x.own = h.Status, true
	bodyless := x.req.Method == "HEAD"
	if err := x.client.begin(x, h, int64(len(content)), bodyless); err != nil {
		return err
	}
	for !bodyless && content != "" {
		space, err := x.client.space()
		if err != nil {
			return err
		}
		n := copy(space, content)
		content = content[n:]
		x.bytes += int64(n)
		if err := x.client.wrote(n); err != nil {
			return err
		}
	}
	return x.client.end(nil)
}

// redirect answers with a Location: the same target at another origin.
func (x *exchange) redirect(origin string) error {
	location := origin
	if x.req.Target != "*" { // OPTIONS about all of a server has no path
		location += x.req.Target
	}
	status := 308
	if x.req.Method == "GET" || x.req.Method == "HEAD" {
		status = 301
	}
	h := &x.res
	h.Reset()
	h.Status = status
	h.Fields = append(h.Fields, message.Field{Name: "Location", Value: location})
	return x.reply("")
}

// cutter lets another goroutine close what an exchange is using, and only
// while it does.
type cutter struct {
	mu     sync.Mutex
	c      io.Closer
	closed bool
}

func (k *cutter) set(c io.Closer) {
	k.mu.Lock()
	k.c = c
	if k.closed && c != nil {
		c.Close()
	}
	k.mu.Unlock()
}

func (k *cutter) close() {
	k.mu.Lock()
	k.closed = true
	if k.c != nil {
		k.c.Close()
	}
	k.mu.Unlock()
}

func (k *cutter) gone() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed
}
