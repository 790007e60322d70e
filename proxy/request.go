package proxy

import (
	"net/netip"
	"strconv"
)

// appendRequest writes the request head for the target, and the body behind it
// when that is at hand.
func (x *exchange) appendRequest(b []byte, t *target, whole bool, body []byte) []byte {
	r := x.req
	b = append(b, r.method...)
	b = append(b, ' ')
	b = append(b, r.target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, or(r.host, t.spec.Address)...)
	b = append(b, '\r', '\n')
	trusted := len(x.service.trust) > 0 && within(x.service.trust, x.peer)
	cookies := false
	for i := range r.fields {
		f := &r.fields[i]
		switch kindOf(f.name) {
		case plain:
			if r.nConnection > 0 && r.hopByHop(f.name) {
				continue
			}
		case cookie:
			// h2 may split a cookie; HTTP/1.1 wants one line.
			if x.protocol == "h2" {
				if !cookies {
					cookies = true
					b = x.appendCookies(b)
				}
				continue
			}
		case authorization:
			if x.service.auth != nil {
				continue
			}
		case trailer:
			if !r.chunked {
				continue
			}
		case te:
			if !r.wantTrailers {
				continue
			}
			b = append(b, "TE: trailers\r\nConnection: TE\r\n"...)
			continue
		case hsts:
		default:
			continue
		}
		b = appendField(b, f.name, f.value)
	}
	b = x.appendForwarded(b, trusted)
	switch {
	case r.upgrade != "":
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, r.upgrade...)
		b = append(b, '\r', '\n')
	case r.length >= 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.length, 10)
		b = append(b, '\r', '\n')
	case whole && x.body != nil:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
		b = append(b, '\r', '\n')
	case x.body != nil:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	b = append(b, '\r', '\n')
	return append(b, body...)
}

func (x *exchange) appendCookies(b []byte) []byte {
	b = append(b, "Cookie: "...)
	n := 0
	for i := range x.req.fields {
		if f := &x.req.fields[i]; kindOf(f.name) == cookie {
			if n++; n > 1 {
				b = append(b, ';', ' ')
			}
			b = append(b, f.value...)
		}
	}
	return append(b, '\r', '\n')
}

// appendForwarded says who asked, when and how. What the client claimed about
// that is dropped unless it comes from a trusted proxy.
func (x *exchange) appendForwarded(b []byte, trusted bool) []byte {
	var proto, port, forwardedHost, began bool
	if trusted {
		b = append(b, "X-Forwarded-For: "...)
		for i := range x.req.fields {
			if f := &x.req.fields[i]; equalFold(f.name, "x-forwarded-for") {
				b = append(b, f.value...)
				b = append(b, ", "...)
			}
		}
		b = appendAddr(b, x.peer)
		b = append(b, '\r', '\n')
		for i := range x.req.fields {
			f := &x.req.fields[i]
			switch {
			case equalFold(f.name, "x-forwarded-proto") && !proto:
				proto = true
			case equalFold(f.name, "x-forwarded-port") && !port:
				port = true
			case equalFold(f.name, "x-forwarded-host") && !forwardedHost:
				forwardedHost = true
			case equalFold(f.name, "x-request-start") && !began:
				began = true
			case equalFold(f.name, "forwarded"):
			default:
				continue
			}
			b = appendField(b, f.name, f.value)
		}
	} else {
		b = append(b, "X-Forwarded-For: "...)
		b = appendAddr(b, x.peer)
		b = append(b, '\r', '\n')
	}
	if !proto {
		b = appendField(b, "X-Forwarded-Proto", x.scheme())
	}
	if !port {
		b = append(b, "X-Forwarded-Port: "...)
		b = strconv.AppendUint(b, uint64(x.port), 10)
		b = append(b, '\r', '\n')
	}
	if !forwardedHost && x.req.host != "" {
		b = appendField(b, "X-Forwarded-Host", x.req.host)
	}
	b = appendField(b, "X-Request-Id", x.idText)
	if !began {
		b = append(b, "X-Request-Start: "...)
		b = strconv.AppendInt(b, x.start.UnixMilli(), 10)
		b = append(b, '\r', '\n')
	}
	return b
}

func appendAddr(b []byte, a netip.Addr) []byte {
	return a.AppendTo(b)
}
