package proxy

// fromH2 turns the decoded fields, pseudo fields first, into a request head.
// Whatever HTTP/1.1 could read differently from HTTP/2 is an error.
func (h *head) fromH2(ended bool) error {
	h.minor, h.length = 1, -1
	var method, scheme, path, authority string
	n, seen := 0, 0
	for ; n < len(h.fields); n++ {
		f := &h.fields[n]
		if f.name == "" || f.name[0] != ':' {
			break
		}
		bit, place := 0, (*string)(nil)
		switch f.name {
		case ":method":
			bit, place = 1, &method
		case ":scheme":
			bit, place = 2, &scheme
		case ":path":
			bit, place = 4, &path
		case ":authority":
			bit, place = 8, &authority
		default:
			return errBadRequest
		}
		if seen&bit != 0 {
			return errBadRequest
		}
		seen |= bit
		*place = f.value
	}
	if seen&7 != 7 || method == "CONNECT" || method == "" || !all(method, &tokenChar) || !all(path, &targetChar) {
		return errBadRequest
	}
	if path == "" || path[0] != '/' && !(path == "*" && method == "OPTIONS") {
		return errBadRequest
	}
	h.method, h.target, h.host = method, path, authority
	h.fields = h.fields[:copy(h.fields, h.fields[n:])]
	hosts, lengths := 0, 0
	for i := range h.fields {
		f := &h.fields[i]
		if !lowerToken(f.name) || !all(f.value, &valueChar) {
			return errBadRequest
		}
		f.value = trimSpace(f.value)
		switch kindOf(f.name) {
		case connection, transferEncoding, upgrade:
			return errBadRequest
		case hop:
			if f.name == "keep-alive" || f.name == "proxy-connection" {
				return errBadRequest
			}
		case te:
			if !equalFold(f.value, "trailers") {
				return errBadRequest
			}
			h.wantTrailers = true
		case host:
			if hosts++; hosts > 1 || authority != "" && !sameToken(f.value, authority) {
				return errBadRequest
			}
			h.host = f.value
		case contentLength:
			size, ok := parseLength(f.value)
			if lengths++; !ok || lengths > 1 {
				return errBadFraming
			}
			h.length = size
		case expect:
			h.expect = equalFold(f.value, "100-continue")
		}
	}
	if h.host == "" || !validHost(h.host) {
		return errBadRequest
	}
	if ended && h.length > 0 {
		return errBadFraming
	}
	return nil
}

// lowerToken: HTTP/2 knows no upper case in names.
func lowerToken(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !tokenChar[c] || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}
