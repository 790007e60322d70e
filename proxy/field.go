package proxy

// field is one header line. On HTTP/1.1 its strings point into the buffer of
// the connection: they are valid until the exchange ends, and whoever keeps one
// longer must clone it.
type field struct{ name, value string }

// kind sorts out the few field names that the proxy treats itself.
type kind uint8

const (
	plain            kind = iota
	hop                   // never handed on: Keep-Alive, Proxy-Connection ...
	connection            // names further hop-by-hop fields
	contentLength         // framing, written by the proxy itself
	transferEncoding      // likewise
	trailer               // announces trailers
	upgrade               // only for WebSockets
	te                    // only "trailers" is handed on
	host                  // written by the proxy itself
	expect                // answered by the proxy
	forwarded             // X-Forwarded-*, Forwarded, X-Real-Ip: replaced unless the peer is trusted
	requestID             // X-Request-Id
	requestStart          // X-Request-Start
	hsts                  // Strict-Transport-Security
	cookie                // h2 splits it
	authorization         // consumed by HTTP auth
)

// kindOf is on the path of every field of every message, so it looks at the
// length first: most names match no known length and cost one jump.
func kindOf(name string) kind {
	switch len(name) {
	case 2:
		if fold(name, "te") {
			return te
		}
	case 4:
		if fold(name, "host") {
			return host
		}
	case 6:
		if fold(name, "expect") {
			return expect
		}
		if fold(name, "cookie") {
			return cookie
		}
	case 7:
		if fold(name, "upgrade") {
			return upgrade
		}
		if fold(name, "trailer") {
			return trailer
		}
	case 9:
		if fold(name, "forwarded") || fold(name, "x-real-ip") {
			return forwarded
		}
	case 10:
		if fold(name, "connection") {
			return connection
		}
		if fold(name, "keep-alive") {
			return hop
		}
	case 12:
		if fold(name, "x-request-id") {
			return requestID
		}
	case 13:
		if fold(name, "authorization") {
			return authorization
		}
	case 14:
		if fold(name, "content-length") {
			return contentLength
		}
		if fold(name, "http2-settings") {
			return hop
		}
	case 15:
		if fold(name, "x-forwarded-for") {
			return forwarded
		}
		if fold(name, "x-request-start") {
			return requestStart
		}
	case 16:
		if fold(name, "x-forwarded-host") || fold(name, "x-forwarded-port") {
			return forwarded
		}
		if fold(name, "proxy-connection") {
			return hop
		}
	case 17:
		if fold(name, "transfer-encoding") {
			return transferEncoding
		}
		if fold(name, "x-forwarded-proto") {
			return forwarded
		}
	case 18:
		if fold(name, "proxy-authenticate") {
			return hop
		}
	case 19:
		if fold(name, "proxy-authorization") {
			return hop
		}
	case 25:
		if fold(name, "strict-transport-security") {
			return hsts
		}
	}
	return plain
}

// fold compares name, of any case, with lower, of the same length. An
// underscore counts as a dash: CGI-like servers (Rack, WSGI) read X_Forwarded_For
// as X-Forwarded-For, so a client could slip one past the proxy.
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

// equalFold compares two ASCII strings without regard to case.
func equalFold(s, lower string) bool {
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
		if equalFold(item, token) {
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
	return trimSpace(item), rest
}

// trimSpace drops the optional white space of RFC 9110: space and tab only.
func trimSpace(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// tokenChar, valueChar and targetChar say which bytes may stand in a field
// name, a field value and a request target.
var tokenChar, valueChar, targetChar = charTables()

func charTables() (token, value, target [256]bool) {
	for c := range 256 {
		value[c] = c == '\t' || c >= ' ' && c != 0x7f
		target[c] = c > ' ' && c != 0x7f && c != '#'
	}
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		token[c] = true
	}
	return token, value, target
}

// all tells whether every byte of s is in the table.
func all(s string, table *[256]bool) bool {
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

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ':', ' ')
	b = append(b, value...)
	return append(b, '\r', '\n')
}

// sameToken compares two tokens without regard to case.
func sameToken(a, b string) bool { return len(a) == len(b) && sameFold(a, b) }
