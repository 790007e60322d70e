package proxy

import (
	"context"
	"net"
	"net/http"
	"time"

	"towline/proxy/control"
	"towline/proxy/message"
)

// WhileSaving runs f as if a service's state took that long to reach the disk.
func (p *Proxy) WhileSaving(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// Panics is how many the proxy has survived.
func (p *Proxy) Panics() int64 { return p.panics.Load() }

// Spoil makes every request for a host panic once its rules are applied.
func (p *Proxy) Spoil(host string) error {
	old := p.table.find(host)
	spoilt, err := newService(old.spec)
	if err == nil {
		p.table.replace(old, spoilt) // shared is nil
	}
	return err
}

// UploadThatPanics sends a request with a body that panics to a target, and returns
// what came of it.
func UploadThatPanics(address string) (panics int64, err error) {
	p := &Proxy{options: Options{}}
	p.options.defaults()
	t := newTarget(control.Target{ID: "web.1", Address: address}, control.Health{})
	c, err := t.connect(context.Background(), dialTimeout)
	if err != nil {
		return 0, err
	}
	x := &exchange{p: p, body: spoiltBody{}, req: &message.Head{Length: -1}, service: &service{}}
	_, err = x.startUpload(c).stop()
	return p.panics.Load(), err
}

type spoiltBody struct{ requestBody }

func (spoiltBody) Read([]byte) (int, error) { panic("a body that cannot be read") }

// Stopping tells whether a stop has begun.
func (p *Proxy) Stopping() bool { return p.stopping.Load() }

// Gathering is c as an HTTP/2 connection reads it: dry is called once, when nothing is
// left to be read for now.
func Gathering(c net.Conn, dry func()) net.Conn {
	s := newClientSocket(&wire{Conn: c}).(*clientSocket)
	told := false
	s.gathers = func() bool { return !told }
	s.dry = func() { told = true; dry() }
	s.bulk = func() bool { return false }
	return s
}

// AdmitToClosedTarget has a target that was closed take c.
func AdmitToClosedTarget(c net.Conn) error {
	t := newTarget(control.Target{ID: "web.1"}, control.Health{})
	t.close()
	_, err := t.admit(c)
	return err
}

// Awaiting is c as an HTTP/2 connection reads it in the middle of a long upload: each
// wait is for much; expired is called when that is over.
func Awaiting(c net.Conn, expired func()) net.Conn {
	s := newClientSocket(&wire{Conn: c}).(*clientSocket)
	s.gathers, s.dry = func() bool { return false }, func() {}
	s.bulk, s.expired = func() bool { return true }, expired
	return s
}

// H2CRequest is what is handed to net/http for a request whose head lies in data.
func H2CRequest(data []byte) (*http.Request, error) {
	var h message.Head
	if err := h.ParseRequest(data); err != nil {
		return nil, err
	}
	x := &exchange{req: &h, service: &service{}}
	return x.h2Request(context.Background(), newTarget(control.Target{ID: "web.1"}, control.Health{}), &replay{}), nil
}

// Resting is how many client connections wait for a request.
func (p *Proxy) Resting() (n int) {
	p.conns.mu.Lock()
	defer p.conns.mu.Unlock()
	for c := range p.conns.open {
		if c.restsSince() != 0 {
			n++
		}
	}
	return n
}

// Crowd has connections, of which there may be so many, come one after the other; it
// returns how many were taken.
func Crowd(most int, list ...net.Conn) (taken int) {
	conns := clientConns{most: most}
	for _, c := range list {
		if conns.add(&clientConn{raw: &wire{Conn: c}, begun: time.Now()}) {
			taken++
		}
	}
	return taken
}

// Names are those of which something is kept.
func (p *Proxy) Names() (list []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.services {
		list = append(list, name)
	}
	return list
}

// InVain tells whether a target that has answered like that for so long is given up.
var InVain = inVain

// Counting returns what counts one request that a target has answered.
func Counting() func() {
	var t traffic
	var w watching
	x := &exchange{target: &target{}, status: 200, bytes: 1000, in: 10, first: 3 * time.Millisecond}
	return func() {
		t.count(x, 5*time.Millisecond)
		w.tell()
	}
}
