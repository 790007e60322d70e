package message

// FromH2 turns the decoded fields, pseudo fields first, into a request head.
// Whatever HTTP/1.1 could read differently from HTTP/2 is an error.
func (h *Head) FromH2(ended bool) error {
	h.Minor, h.Length = 1, -1
	var method, scheme, path, authority string
	n, seen := 0, 0
	for ; n < len(h.Fields); n++ {
		f := &h.Fields[n]
		if f.Name == "" || f.Name[0] != ':' {
			break
		}
		bit, place := 0, (*string)(nil)
		switch f.Name {
		case ":method":
			bit, place = 1, &method
		case ":scheme":
			bit, place = 2, &scheme
		case ":path":
			bit, place = 4, &path
		case ":authority":
			bit, place = 8, &authority
		default:
			return ErrBadRequest
		}
		if seen&bit != 0 {
			return ErrBadRequest
		}
		seen |= bit
		*place = f.Value
	}
	if seen&7 != 7 || method == "CONNECT" || method == "" || !All(method, &TokenChar) || !All(path, &targetChar) {
		return ErrBadRequest
	}
	if path == "" || path[0] != '/' && !(path == "*" && method == "OPTIONS") {
		return ErrBadRequest
	}
	h.Method, h.Target, h.Host = method, path, authority
	h.Fields = h.Fields[:copy(h.Fields, h.Fields[n:])]
	hosts, lengths := 0, 0
	for i := range h.Fields {
		f := &h.Fields[i]
		if !lowerToken(f.Name) || !All(f.Value, &ValueChar) {
			return ErrBadRequest
		}
		f.Value = TrimSpace(f.Value)
		switch KindOf(f.Name) {
		case KindConnection, KindTransferEncoding, KindUpgrade:
			return ErrBadRequest
		case KindHop:
			if f.Name == "keep-alive" || f.Name == "proxy-connection" {
				return ErrBadRequest
			}
		case KindTE:
			if !EqualFold(f.Value, "trailers") {
				return ErrBadRequest
			}
			h.WantTrailers = true
		case KindHost:
			if hosts++; hosts > 1 || authority != "" && !SameToken(f.Value, authority) {
				return ErrBadRequest
			}
			h.Host = f.Value
		case KindContentLength:
			size, ok := parseLength(f.Value)
			if lengths++; !ok || lengths > 1 {
				return ErrBadFraming
			}
			h.Length = size
		case KindExpect:
			h.Expect = EqualFold(f.Value, "100-continue")
		}
	}
	if h.Host == "" || !validHost(h.Host) {
		return ErrBadRequest
	}
	if ended && h.Length > 0 {
		return ErrBadFraming
	}
	return nil
}

// lowerToken: HTTP/2 knows no upper case in names.
func lowerToken(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !TokenChar[c] || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}
