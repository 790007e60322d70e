package proxy

import (
	"net/netip"
	"strconv"

	"towline/proxy/message"
)

// appendRequest writes the request head for the target, and the body behind it
// when that is at hand.
func (x *exchange) appendRequest(b []byte, t *target, whole bool, body []byte) []byte {
	r := x.req
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, or(r.Host, t.spec.Address)...)
	b = append(b, '\r', '\n')
	trusted := len(x.service.trust) > 0 && within(x.service.trust, x.peer)
	cookies := false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch message.KindOf(f.Name) {
		case message.KindPlain:
			if r.NConnection > 0 && r.HopByHop(f.Name) {
				continue
			}
		case message.KindCookie:
			if r.NConnection > 0 && r.HopByHop(f.Name) {
				continue
			}
			// h2 may split a cookie; HTTP/1.1 wants one line.
			if x.protocol == "h2" {
				if !cookies {
					cookies = true
					b = x.appendCookies(b)
				}
				continue
			}
		case message.KindAuthorization:
			if x.service.auth != nil || r.NConnection > 0 && r.HopByHop(f.Name) {
				continue
			}
		case message.KindTrailer:
			if !r.Chunked {
				continue
			}
		case message.KindTE:
			if !r.WantTrailers {
				continue
			}
			b = append(b, "TE: trailers\r\nConnection: TE\r\n"...)
			continue
		case message.KindHSTS:
		default:
			continue
		}
		b = message.AppendField(b, f.Name, f.Value)
	}
	b = x.appendForwarded(b, trusted)
	b = append(b, x.via()...)
	switch {
	case r.Upgrade != "":
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, r.Upgrade...)
		b = append(b, '\r', '\n')
	case r.Length >= 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.Length, 10)
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

// via names the proxy and what the client spoke to it, as a gateway must towards its
// targets (RFC 9110 7.6.3).
func (x *exchange) via() string {
	switch {
	case x.protocol == "h2":
		return "Via: 2.0 towline\r\n"
	case x.req.Minor == 0:
		return "Via: 1.0 towline\r\n"
	}
	return "Via: 1.1 towline\r\n"
}

func (x *exchange) appendCookies(b []byte) []byte {
	b = append(b, "Cookie: "...)
	n := 0
	for i := range x.req.Fields {
		if f := &x.req.Fields[i]; message.KindOf(f.Name) == message.KindCookie {
			if n++; n > 1 {
				b = append(b, ';', ' ')
			}
			b = append(b, f.Value...)
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
		for i := range x.req.Fields {
			if f := &x.req.Fields[i]; message.EqualFold(f.Name, "x-forwarded-for") {
				b = append(b, f.Value...)
				b = append(b, ", "...)
			}
		}
		b = appendAddr(b, x.peer)
		b = append(b, '\r', '\n')
		for i := range x.req.Fields {
			f := &x.req.Fields[i]
			switch {
			case message.EqualFold(f.Name, "x-forwarded-proto") && !proto:
				proto = true
			case message.EqualFold(f.Name, "x-forwarded-port") && !port:
				port = true
			case message.EqualFold(f.Name, "x-forwarded-host") && !forwardedHost:
				forwardedHost = true
			case message.EqualFold(f.Name, "x-request-start") && !began:
				began = true
			case message.EqualFold(f.Name, "forwarded"):
			default:
				continue
			}
			b = message.AppendField(b, f.Name, f.Value)
		}
	} else {
		b = append(b, "X-Forwarded-For: "...)
		b = appendAddr(b, x.peer)
		b = append(b, '\r', '\n')
	}
	if !proto {
		b = message.AppendField(b, "X-Forwarded-Proto", x.scheme())
	}
	if !port {
		b = append(b, "X-Forwarded-Port: "...)
		b = strconv.AppendUint(b, uint64(x.port), 10)
		b = append(b, '\r', '\n')
	}
	if !forwardedHost && x.req.Host != "" {
		b = message.AppendField(b, "X-Forwarded-Host", x.req.Host)
	}
	b = message.AppendField(b, "X-Request-Id", x.idText)
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
