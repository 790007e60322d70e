package proxy

import (
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"towline/proxy/message"
)

// errClient says that the client is gone or broke the rules midway: there is
// nobody to answer.
var errClient = errors.New("client is gone")

// serve answers one request, from its head to the log line. An error means that
// the client's connection, or its stream, is of no more use.
func (x *exchange) serve() error {
	x.start = time.Now()
	x.identify()
	err := x.route()
	x.record()
	return err
}

// route leads the request to its service and through the service's rules, in
// the order that docs/proxy.md tells.
func (x *exchange) route() error {
	if !x.tls {
		if answer, ok := x.p.certs.Challenge(x.req.Method, x.req.Host, x.req.Target); ok {
			return x.plain(answer)
		}
	}
	name := hostName(x.req.Host)
	s := x.p.table.find(name)
	if s == nil {
		return x.fail(404, "no-route")
	}
	x.service = s
	o := &s.spec.Options
	if !x.tls && x.p.httpsPort != 0 && !o.PlainHTTP {
		return x.redirect(origin("https", name, x.p.httpsPort, 443))
	}
	if len(x.req.Target) > s.maxHeader {
		return x.fail(414, "target-too-long")
	}
	if x.req.Size() > s.maxHeader {
		return x.fail(431, "header-too-large")
	}
	if len(s.allow) > 0 && !within(s.allow, x.clientAddr()) {
		return x.fail(403, "address-not-allowed")
	}
	if len(o.Redirects) > 0 {
		if to, ok := o.Redirects[name]; ok {
			return x.redirect(x.origin(to))
		}
	}
	if s.auth != nil {
		if v := s.auth.allows(x.req, x.clientAddr()); !v.right {
			return x.unauthorized(v)
		}
	}
	if o.Prefix != "" && x.req.Upgrade == "" && !strings.HasPrefix(x.req.Target, o.Prefix) {
		return x.fail(404, "path-not-served")
	}
	if o.MaxBody > 0 && x.req.Length > o.MaxBody {
		return x.fail(413, "body-too-large")
	}
	if o.Maintenance {
		return x.fail(503, "maintenance")
	}
	if o.Undeployed {
		return x.fail(404, "not-deployed")
	}
	waited, entered := x.enterGate()
	if !entered {
		if x.cut.gone() {
			return x.vanished()
		}
		return x.fail(503, "paused-too-long")
	}
	if waited && !s.sameRules(x.p.table.find(name)) {
		x.leaveGate()
		x.service = nil
		return x.route()
	}
	defer x.leaveGate()
	err := x.forward(name)
	_, _ = x.replay.stop()
	return err
}

// unauthorized asks for other credentials, or for patience.
func (x *exchange) unauthorized(v verdict) error {
	if v.retry == 0 {
		realm := `Basic realm="` + x.service.spec.Name + `", charset="UTF-8"`
		return x.page(401, x.errorPage(401), message.Field{Name: "WWW-Authenticate", Value: realm})
	}
	status := 429
	x.fault = "too-many-guesses"
	if v.busy {
		status, x.fault = 503, "too-many-logins"
	}
	seconds := int(math.Ceil(v.retry.Seconds()))
	return x.page(status, defaultPage(status), message.Field{Name: "Retry-After", Value: strconv.Itoa(seconds)})
}

// leaveGate lets a pause go on; a WebSocket calls it once it is a tunnel.
func (x *exchange) leaveGate() {
	if x.inside != nil {
		x.inside.leave()
		x.inside = nil
	}
}

// hostName is the name to look up: lower-case, without port and without the dot
// of a fully qualified name. It allocates only when there is something to change.
func hostName(host string) string {
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end > 0 {
			return host[1:end]
		}
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host, ':') == i {
		host = host[:i]
	}
	if n := len(host); n > 1 && host[n-1] == '.' {
		host = host[:n-1]
	}
	for i := 0; i < len(host); i++ {
		if c := host[i]; 'A' <= c && c <= 'Z' {
			return strings.ToLower(host)
		}
	}
	return host
}

func (x *exchange) scheme() string {
	if x.tls {
		return "https"
	}
	return "http"
}

// origin is where name is served, by HTTPS if that is how the request came.
func (x *exchange) origin(name string) string {
	if x.tls {
		return origin("https", name, x.p.httpsPort, 443)
	}
	return origin("http", name, x.p.httpPort, 80)
}

// origin says the port if it is not the usual one, and known.
func origin(scheme, name string, port, usual int) string {
	if strings.IndexByte(name, ':') >= 0 {
		name = "[" + name + "]"
	}
	if port != usual && port != 0 {
		name += ":" + strconv.Itoa(port)
	}
	return scheme + "://" + name
}

// clientAddr is who the request is from: the peer, or, when the peer is a
// trusted proxy, the last address in X-Forwarded-For that is not one.
func (x *exchange) clientAddr() netip.Addr {
	if len(x.service.trust) == 0 || !within(x.service.trust, x.peer) {
		return x.peer
	}
	addr := x.peer
	for i := len(x.req.Fields) - 1; i >= 0; i-- {
		f := &x.req.Fields[i]
		if !message.EqualFold(f.Name, "x-forwarded-for") {
			continue
		}
		for list := f.Value; list != ""; {
			item := list
			if comma := strings.LastIndexByte(list, ','); comma >= 0 {
				item, list = list[comma+1:], list[:comma]
			} else {
				list = ""
			}
			a, err := netip.ParseAddr(message.TrimSpace(item))
			if err != nil {
				return addr
			}
			if addr = a.Unmap().WithZone(""); !within(x.service.trust, addr) {
				return addr
			}
		}
	}
	return addr
}
