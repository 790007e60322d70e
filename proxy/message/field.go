package message

import "strings"

// Field is one header line. On HTTP/1.1 its strings point into the buffer of
// the connection: they are valid until the exchange ends, and whoever keeps one
// longer must clone it.
type Field struct{ Name, Value string }

// Kind sorts out the few field names that the proxy treats itself.
type Kind uint8

const (
	KindPlain            Kind = iota
	KindHop                   // never handed on: Keep-Alive, Proxy-Connection ..., and aliases
	KindConnection            // names further hop-by-hop fields
	KindContentLength         // framing, written by the proxy itself
	KindTransferEncoding      // likewise
	KindTrailer               // announces trailers
	KindUpgrade               // only for WebSockets
	KindTE                    // only "trailers" is handed on
	KindHost                  // written by the proxy itself
	KindExpect                // answered by the proxy
	KindForwarded             // X-Forwarded-*, Forwarded, X-Real-Ip: replaced unless the peer is trusted
	KindRequestID             // X-Request-Id
	KindRequestStart          // X-Request-Start
	KindHSTS                  // Strict-Transport-Security
	KindCookie                // h2 splits it
	KindAuthorization         // consumed by HTTP auth
)

// KindOf sorts a field by its name. A known name spelt with underscores is another
// name (RFC 9110 5.1) and means nothing here; but servers in the way of CGI (Rack,
// WSGI) would read it as the known one, so it is never handed on either.
func KindOf(name string) Kind {
	kind := kindLike(name)
	if kind != KindPlain && strings.IndexByte(name, '_') >= 0 {
		return KindHop
	}
	return kind
}

// kindLike is on the path of every field of every message, so it looks at the
// length first: most names match no known length and cost one jump. Underscores
// count as dashes.
func kindLike(name string) Kind {
	switch len(name) {
	case 2:
		if fold(name, "te") {
			return KindTE
		}
	case 4:
		if fold(name, "host") {
			return KindHost
		}
	case 6:
		if fold(name, "expect") {
			return KindExpect
		}
		if fold(name, "cookie") {
			return KindCookie
		}
	case 7:
		if fold(name, "upgrade") {
			return KindUpgrade
		}
		if fold(name, "trailer") {
			return KindTrailer
		}
	case 9:
		if fold(name, "forwarded") || fold(name, "x-real-ip") {
			return KindForwarded
		}
	case 10:
		if fold(name, "connection") {
			return KindConnection
		}
		if fold(name, "keep-alive") {
			return KindHop
		}
	case 12:
		if fold(name, "x-request-id") {
			return KindRequestID
		}
	case 13:
		if fold(name, "authorization") {
			return KindAuthorization
		}
	case 14:
		if fold(name, "content-length") {
			return KindContentLength
		}
		if fold(name, "http2-settings") {
			return KindHop
		}
	case 15:
		if fold(name, "x-forwarded-for") {
			return KindForwarded
		}
		if fold(name, "x-request-start") {
			return KindRequestStart
		}
	case 16:
		if fold(name, "x-forwarded-host") || fold(name, "x-forwarded-port") {
			return KindForwarded
		}
		if fold(name, "proxy-connection") {
			return KindHop
		}
	case 17:
		if fold(name, "transfer-encoding") {
			return KindTransferEncoding
		}
		if fold(name, "x-forwarded-proto") {
			return KindForwarded
		}
	case 18:
		if fold(name, "proxy-authenticate") {
			return KindHop
		}
	case 19:
		if fold(name, "proxy-authorization") {
			return KindHop
		}
	case 25:
		if fold(name, "strict-transport-security") {
			return KindHSTS
		}
	}
	return KindPlain
}

// fold compares name, of any case, with lower, of the same length. An underscore
// counts as a dash.
func fold(name, lower string) bool {
	for i := 0; i < len(lower); i++ {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		} else if c == '_' {
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// EqualFold compares two ASCII strings without regard to case.
func EqualFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := 0; i < len(lower); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// hasToken tells whether the comma-separated list holds token (lower-case).
func hasToken(list, token string) bool {
	for list != "" {
		var item string
		item, list = cutToken(list)
		if EqualFold(item, token) {
			return true
		}
	}
	return false
}

// cutToken takes the first item off a comma-separated list.
func cutToken(list string) (item, rest string) {
	i := 0
	for i < len(list) && list[i] != ',' {
		i++
	}
	item, rest = list[:i], ""
	if i < len(list) {
		rest = list[i+1:]
	}
	return TrimSpace(item), rest
}

// TrimSpace drops the optional white space of RFC 9110: space and tab only.
func TrimSpace(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// TokenChar, ValueChar, targetChar and hostChar say which bytes may stand in a field
// name, a field value, a request target and the name of a host.
var TokenChar, ValueChar, targetChar, hostChar = charTables()

func charTables() (token, value, target, host [256]bool) {
	for c := range 256 {
		value[c] = c == '\t' || c >= ' ' && c != 0x7f
		target[c] = c > ' ' && c != 0x7f && c != '#'
	}
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		token[c] = true
	}
	for _, c := range "-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		host[c] = true
	}
	return token, value, target, host
}

// All tells whether every byte of s is in the table.
func All(s string, table *[256]bool) bool {
	for i := 0; i < len(s); i++ {
		if !table[s[i]] {
			return false
		}
	}
	return true
}

func sameFold(a, b string) bool {
	for i := 0; i < len(a); i++ {
		c, d := a[i], b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if 'A' <= d && d <= 'Z' {
			d |= 0x20
		}
		if c != d {
			return false
		}
	}
	return true
}

func AppendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ':', ' ')
	b = append(b, value...)
	return append(b, '\r', '\n')
}

// SameToken compares two tokens without regard to case.
func SameToken(a, b string) bool { return len(a) == len(b) && sameFold(a, b) }

// ValidH2 tells whether HTTP/2 allows the field: no upper case in its name.
func (f Field) ValidH2() bool { return lowerToken(f.Name) && All(f.Value, &ValueChar) }
