package message

import (
	"errors"
	"net/http"
	"strings"
	"unsafe"
)

var (
	ErrBadFraming = errors.New("malformed message framing")
	ErrBadRequest = errors.New("malformed request")
	ErrVersion    = errors.New("unsupported HTTP version")
	ErrEncoding   = errors.New("unsupported transfer encoding")
	ErrExpect     = errors.New("unsupported expectation")
	ErrManyFields = errors.New("too many header fields")
	ErrBadAnswer  = errors.New("the target answered something that is not HTTP")
)

// Head is a parsed request or response head. The zero value is ready for use
// and reset keeps its memory.
type Head struct {
	Method, Target string // request: target in origin form, "/path?query" or "*"
	Host           string // request: as sent, port included
	Status         int    // response
	Reason         string
	Minor          int // of HTTP/1.minor; 1 for h2

	Fields []Field

	Length       int64 // Content-Length, or -1
	Chunked      bool
	Close        bool     // the peer closes the connection after this message
	KeepAlive    bool     // Connection: keep-alive, for HTTP/1.0
	nominated    []string // what Connection names beyond close and keep-alive
	Upgrade      string   // protocol, if Connection and Upgrade agree
	Expect       bool     // Expect: 100-continue
	WantTrailers bool     // TE: trailers
	NConnection  int      // how many nominated are
}

// maxFields bounds the fields of a request's head: each takes more memory than the few
// bytes that it can be sent with.
const maxFields = 1000

// maxNominated bounds what the Connection fields of one message may name: each
// field of the message is compared with each of these names.
const maxNominated = 32

func (h *Head) Reset() {
	fields, nominated := h.Fields, h.nominated
	clear(fields)
	clear(nominated)
	*h = Head{Fields: fields[:0], nominated: nominated[:0], Length: -1}
}

// Shrink is Reset, and gives up the memory of h if that has grown past so many fields.
func (h *Head) Shrink(fields int) {
	if h.Reset(); cap(h.Fields) > fields {
		h.Fields = nil
	}
}

// Text views b as a string without a copy. b must not change while it is used.
func Text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// ParseRequest reads a whole HTTP/1.x request head. It is strict: whatever two
// readers could take for two things is an error, so that nothing can be
// smuggled past the proxy's rules.
func (h *Head) ParseRequest(data []byte) error {
	h.Reset()
	s := Text(data)
	line, s, ok := cutLine(s)
	if !ok {
		return ErrBadRequest
	}
	i := strings.IndexByte(line, ' ')
	j := strings.LastIndexByte(line, ' ')
	if i <= 0 || j <= i+1 {
		return ErrBadRequest
	}
	h.Method, h.Target = line[:i], line[i+1:j]
	switch line[j+1:] {
	case "HTTP/1.1":
		h.Minor = 1
	case "HTTP/1.0":
	default:
		if strings.HasPrefix(line[j+1:], "HTTP/") {
			return ErrVersion
		}
		return ErrBadRequest
	}
	if !All(h.Method, &TokenChar) || !All(h.Target, &targetChar) {
		return ErrBadRequest
	}
	if err := h.parseFields(s, true); err != nil {
		return err
	}
	return h.checkRequest()
}

// checkRequest brings the target into origin form and checks what can be known
// only once all fields are read.
func (h *Head) checkRequest() error {
	hosts, upgradeTo := 0, ""
	for i := range h.Fields {
		f := &h.Fields[i]
		switch KindOf(f.Name) {
		case KindHost:
			hosts++
			if h.Host = f.Value; !validHost(h.Host) {
				return ErrBadRequest
			}
		case KindUpgrade:
			upgradeTo = f.Value
		case KindExpect:
			if !EqualFold(f.Value, "100-continue") {
				return ErrExpect
			}
			h.Expect = h.Minor == 1
		case KindTE:
			h.WantTrailers = hasToken(f.Value, "trailers")
		}
	}
	if hosts > 1 || hosts == 0 && h.Minor == 1 {
		return ErrBadRequest
	}
	switch {
	case h.Method == "CONNECT":
		return ErrBadRequest
	case h.Target[0] == '/':
	case h.Target == "*" && h.Method == "OPTIONS":
	default:
		if !h.absoluteForm() {
			return ErrBadRequest
		}
	}
	if h.Chunked && h.Minor == 0 {
		return ErrBadFraming
	}
	// Only WebSockets pass: h2c by upgrade would be a tunnel past every rule.
	if EqualFold(upgradeTo, "websocket") && h.Minor == 1 && h.HopByHop("upgrade") && !h.HasBody() {
		h.Upgrade = upgradeTo
	}
	return nil
}

// absoluteForm turns a target like http://host/path, of which RFC 9112 3.2.2 says
// that it counts more than the Host field, into Host and origin form. OPTIONS with
// neither path nor query is about the server as a whole: "*" (3.2.4).
func (h *Head) absoluteForm() bool {
	scheme, rest, ok := strings.Cut(h.Target, "://")
	if !ok || !EqualFold(scheme, "http") && !EqualFold(scheme, "https") {
		return false
	}
	h.Host, h.Target = rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		h.Host, h.Target = rest[:i], rest[i:]
	}
	switch {
	case h.Target == "" && h.Method == "OPTIONS":
		h.Target = "*"
	case h.Target == "" || h.Target[0] == '?':
		h.Target = "/" + h.Target
	}
	return h.Host != "" && validHost(h.Host)
}

// ParseResponse reads a whole HTTP/1.x response head.
func (h *Head) ParseResponse(data []byte) error {
	h.Reset()
	line, s, ok := cutLine(Text(data))
	if !ok || len(line) < 12 || line[:7] != "HTTP/1." || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return ErrBadAnswer
	}
	if h.Minor = int(line[7] - '0'); h.Minor > 1 {
		return ErrBadAnswer
	}
	for _, c := range []byte(line[9:12]) {
		if c < '0' || c > '9' {
			return ErrBadAnswer
		}
		h.Status = h.Status*10 + int(c-'0')
	}
	if len(line) > 13 {
		h.Reason = line[13:]
	}
	if h.Status < 100 || h.Status > 599 || !All(h.Reason, &ValueChar) {
		return ErrBadAnswer
	}
	if err := h.parseFields(s, false); err != nil {
		return ErrBadAnswer
	}
	if h.HopByHop("upgrade") {
		for _, f := range h.Fields {
			if KindOf(f.Name) == KindUpgrade {
				h.Upgrade = f.Value
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
func (h *Head) parseFields(s string, request bool) error {
	lengths, encodings := 0, 0
	for {
		line, rest, ok := cutLine(s)
		if !ok {
			return ErrBadRequest
		}
		if s = rest; line == "" {
			break
		}
		colon := strings.IndexByte(line, ':')
		if colon <= 0 {
			return ErrBadRequest
		}
		f := Field{line[:colon], TrimSpace(line[colon+1:])}
		if !All(f.Name, &TokenChar) || !All(f.Value, &ValueChar) {
			return ErrBadRequest
		}
		switch KindOf(f.Name) {
		case KindContentLength:
			lengths++
			n, ok := parseLength(f.Value)
			if !ok || lengths > 1 && (request || n != h.Length) {
				return ErrBadFraming
			}
			h.Length = n
		case KindTransferEncoding:
			if encodings++; encodings > 1 {
				return ErrBadFraming
			}
			if !EqualFold(f.Value, "chunked") {
				return ErrEncoding
			}
			h.Chunked = true
		case KindConnection:
			if !h.sawConnection(f.Value) {
				return ErrBadRequest
			}
		}
		if request && len(h.Fields) == maxFields {
			return ErrManyFields
		}
		h.Fields = append(h.Fields, f)
	}
	if s != "" || lengths > 0 && encodings > 0 {
		return ErrBadFraming
	}
	return nil
}

// sawConnection is false when more is nominated than may be.
func (h *Head) sawConnection(list string) bool {
	for list != "" {
		var item string
		item, list = cutToken(list)
		switch {
		case item == "":
		case EqualFold(item, "keep-alive"):
			h.KeepAlive = true
		case EqualFold(item, "close"):
			h.Close = true
		case len(h.nominated) == maxNominated:
			return false
		default:
			h.nominated = append(h.nominated, item)
		}
	}
	h.NConnection = len(h.nominated)
	return true
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

// validHost checks a Host field: a name, an address or an IPv6 address in brackets,
// each with a port or without. It may be empty, for a client that asks for no host.
func validHost(s string) bool {
	if len(s) > 260 {
		return false
	}
	end := 0
	if s != "" && s[0] == '[' {
		for end = 1; end < len(s) && (hostChar[s[end]] || s[end] == ':'); end++ {
		}
		if end == 1 || end == len(s) || s[end] != ']' {
			return false
		}
		end++
	} else {
		for end < len(s) && hostChar[s[end]] {
			end++
		}
		if end == 0 && s != "" {
			return false
		}
	}
	if end == len(s) {
		return true
	}
	port := s[end+1:]
	if s[end] != ':' || len(port) > 5 {
		return false
	}
	for i := 0; i < len(port); i++ {
		if port[i] < '0' || port[i] > '9' {
			return false
		}
	}
	return true
}

// Idempotent tells whether sending the request twice is like sending it once.
func (h *Head) Idempotent() bool {
	switch h.Method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE":
		return true
	}
	return false
}

// HasBody tells whether a request carries a body.
func (h *Head) HasBody() bool { return h.Chunked || h.Length > 0 }

// HopByHop tells whether the Connection field names this one.
func (h *Head) HopByHop(name string) bool {
	for _, item := range h.nominated {
		if len(item) == len(name) && sameFold(item, name) {
			return true
		}
	}
	return false
}

// Size is what the fields weigh, as MaxHeader counts it: names, values and
// four bytes a line.
func (h *Head) Size() int {
	n := len(h.Method) + len(h.Target)
	for i := range h.Fields {
		n += len(h.Fields[i].Name) + len(h.Fields[i].Value) + 4
	}
	return n
}

func (h *Head) AddFields(from http.Header) {
	for name, values := range from {
		for _, v := range values {
			if All(name, &TokenChar) && All(v, &ValueChar) {
				h.Fields = append(h.Fields, Field{name, v})
			}
		}
	}
}
