package proxy

import (
	"errors"
	"net/http"
	"strings"
	"unsafe"
)

var (
	errBadFraming = errors.New("malformed message framing")
	errBadRequest = errors.New("malformed request")
	errVersion    = errors.New("unsupported HTTP version")
	errEncoding   = errors.New("unsupported transfer encoding")
	errExpect     = errors.New("unsupported expectation")
	errBadAnswer  = errors.New("the target answered something that is not HTTP")
)

// head is a parsed request or response head. The zero value is ready for use
// and reset keeps its memory.
type head struct {
	method, target string // request: target in origin form, "/path?query" or "*"
	host           string // request: as sent, port included
	status         int    // response
	reason         string
	minor          int // of HTTP/1.minor; 1 for h2

	fields []field

	length       int64 // Content-Length, or -1
	chunked      bool
	close        bool   // the peer closes the connection after this message
	keepAlive    bool   // Connection: keep-alive, for HTTP/1.0
	nominated    string // value of Connection, when it names more than the usual
	upgrade      string // protocol, if Connection and Upgrade agree
	expect       bool   // Expect: 100-continue
	wantTrailers bool   // TE: trailers
	nConnection  int
}

func (h *head) reset() {
	fields := h.fields
	clear(fields)
	*h = head{fields: fields[:0], length: -1}
}

// text views b as a string without a copy. b must not change while it is used.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// parseRequest reads a whole HTTP/1.x request head. It is strict: whatever two
// readers could take for two things is an error, so that nothing can be
// smuggled past the proxy's rules.
func (h *head) parseRequest(data []byte) error {
	h.reset()
	s := text(data)
	line, s, ok := cutLine(s)
	if !ok {
		return errBadRequest
	}
	i := strings.IndexByte(line, ' ')
	j := strings.LastIndexByte(line, ' ')
	if i <= 0 || j <= i+1 {
		return errBadRequest
	}
	h.method, h.target = line[:i], line[i+1:j]
	switch line[j+1:] {
	case "HTTP/1.1":
		h.minor = 1
	case "HTTP/1.0":
	default:
		if strings.HasPrefix(line[j+1:], "HTTP/") {
			return errVersion
		}
		return errBadRequest
	}
	if !all(h.method, &tokenChar) || !all(h.target, &targetChar) {
		return errBadRequest
	}
	if err := h.parseFields(s, true); err != nil {
		return err
	}
	return h.checkRequest()
}

// checkRequest brings the target into origin form and checks what can be known
// only once all fields are read.
func (h *head) checkRequest() error {
	hosts, upgradeTo := 0, ""
	var authority string
	for i := range h.fields {
		f := &h.fields[i]
		switch kindOf(f.name) {
		case host:
			hosts++
			h.host = f.value
		case upgrade:
			upgradeTo = f.value
		case expect:
			if !equalFold(f.value, "100-continue") {
				return errExpect
			}
			h.expect = h.minor == 1
		case te:
			h.wantTrailers = hasToken(f.value, "trailers")
		}
	}
	if hosts > 1 || hosts == 0 && h.minor == 1 {
		return errBadRequest
	}
	switch {
	case h.method == "CONNECT":
		return errBadRequest
	case h.target[0] == '/':
	case h.target == "*" && h.method == "OPTIONS":
	default:
		rest, ok := strings.CutPrefix(h.target, "http://")
		if !ok {
			if rest, ok = strings.CutPrefix(h.target, "https://"); !ok {
				return errBadRequest
			}
		}
		slash := strings.IndexAny(rest, "/?")
		if slash < 0 {
			authority, h.target = rest, "/"
		} else if rest[slash] == '/' {
			authority, h.target = rest[:slash], rest[slash:]
		} else {
			return errBadRequest
		}
		h.host = authority
	}
	if h.host != "" && !validHost(h.host) {
		return errBadRequest
	}
	if h.chunked && h.minor == 0 {
		return errBadFraming
	}
	// Only WebSockets pass: h2c by upgrade would be a tunnel past every rule.
	if equalFold(upgradeTo, "websocket") && h.minor == 1 && h.nConnection > 0 && hasToken(h.nominated, "upgrade") && !h.hasBody() {
		h.upgrade = upgradeTo
	}
	return nil
}

// parseResponse reads a whole HTTP/1.x response head.
func (h *head) parseResponse(data []byte) error {
	h.reset()
	line, s, ok := cutLine(text(data))
	if !ok || len(line) < 12 || line[:7] != "HTTP/1." || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return errBadAnswer
	}
	if h.minor = int(line[7] - '0'); h.minor > 1 {
		return errBadAnswer
	}
	for _, c := range []byte(line[9:12]) {
		if c < '0' || c > '9' {
			return errBadAnswer
		}
		h.status = h.status*10 + int(c-'0')
	}
	if len(line) > 13 {
		h.reason = line[13:]
	}
	if h.status < 100 || h.status > 599 || !all(h.reason, &valueChar) {
		return errBadAnswer
	}
	if err := h.parseFields(s, false); err != nil {
		return errBadAnswer
	}
	if h.nConnection > 0 && hasToken(h.nominated, "upgrade") {
		for _, f := range h.fields {
			if kindOf(f.name) == upgrade {
				h.upgrade = f.value
			}
		}
	}
	return nil
}

// cutLine takes the first line off s, without its CRLF. A lone LF, or a CR
// anywhere else, is not a line end and never valid.
func cutLine(s string) (line, rest string, ok bool) {
	i := strings.IndexByte(s, '\n')
	if i < 1 || s[i-1] != '\r' {
		return "", "", false
	}
	return s[:i-1], s[i+1:], true
}

// parseFields reads field lines up to the empty line and collects the framing.
func (h *head) parseFields(s string, request bool) error {
	lengths, encodings := 0, 0
	for {
		line, rest, ok := cutLine(s)
		if !ok {
			return errBadRequest
		}
		if s = rest; line == "" {
			break
		}
		colon := strings.IndexByte(line, ':')
		if colon <= 0 {
			return errBadRequest
		}
		f := field{line[:colon], trimSpace(line[colon+1:])}
		if !all(f.name, &tokenChar) || !all(f.value, &valueChar) {
			return errBadRequest
		}
		switch kindOf(f.name) {
		case contentLength:
			lengths++
			n, ok := parseLength(f.value)
			if !ok || lengths > 1 && (request || n != h.length) {
				return errBadFraming
			}
			h.length = n
		case transferEncoding:
			if encodings++; encodings > 1 {
				return errBadFraming
			}
			if !equalFold(f.value, "chunked") {
				return errEncoding
			}
			h.chunked = true
		case connection:
			h.sawConnection(f.value)
		}
		h.fields = append(h.fields, f)
	}
	if s != "" || lengths > 0 && encodings > 0 {
		return errBadFraming
	}
	return nil
}

func (h *head) sawConnection(value string) {
	switch {
	case equalFold(value, "keep-alive"):
		h.keepAlive = true
		return
	case equalFold(value, "close"):
		h.close = true
		return
	}
	h.close = h.close || hasToken(value, "close")
	h.keepAlive = h.keepAlive || hasToken(value, "keep-alive")
	if h.nConnection++; h.nConnection == 1 {
		h.nominated = value
	} else {
		h.nominated += "," + value
	}
}

// parseLength reads a Content-Length: digits and nothing else, below 10^18.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	var n int64
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// validHost checks a Host field: name or address, port optional.
func validHost(s string) bool {
	if len(s) > 260 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']' || c == '*':
		default:
			return false
		}
	}
	return true
}

// idempotent tells whether sending the request twice is like sending it once.
func (h *head) idempotent() bool {
	switch h.method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE":
		return true
	}
	return false
}

// hasBody tells whether a request carries a body.
func (h *head) hasBody() bool { return h.chunked || h.length > 0 }

// hopByHop tells whether the Connection field names this one.
func (h *head) hopByHop(name string) bool {
	for list := h.nominated; list != ""; {
		var item string
		item, list = cutToken(list)
		if len(item) == len(name) && sameFold(item, name) {
			return true
		}
	}
	return false
}

// size is what the fields weigh, as MaxHeader counts it: names, values and
// four bytes a line.
func (h *head) size() int {
	n := len(h.method) + len(h.target)
	for i := range h.fields {
		n += len(h.fields[i].name) + len(h.fields[i].value) + 4
	}
	return n
}

func (h *head) addFields(from http.Header) {
	for name, values := range from {
		for _, v := range values {
			if all(name, &tokenChar) && all(v, &valueChar) {
				h.fields = append(h.fields, field{name, v})
			}
		}
	}
}
