package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// forms are requests as clients may send them, sound ones and those of which two readers
// could see two different requests. H stands for the app's host. Behind each, on the
// same connection, comes a GET of /next.
//
// want is what the app must have seen, as recordingApp notes it; then it must have seen
// the next request too, and nothing else. A number is a refusal with that status: the
// app saw nothing, and the connection was closed before the next request. A number and
// then what the app saw: it got part of a body that turned out bad. "then close" says
// that the connection ends after a sound answer.
var forms = []struct{ name, text, want string }{
	// Sound.
	{"plain", "GET / HTTP/1.1\r\nHost: H\r\n\r\n", `GET / H ""`},
	{"query", "GET /a?b=c&d HTTP/1.1\r\nHost: H\r\n\r\n", `GET /a?b=c&d H ""`},
	{"host with port", "GET / HTTP/1.1\r\nHost: H:8443\r\n\r\n", `GET / H:8443 ""`},
	{"host in capitals", "GET / HTTP/1.1\r\nHost: SHOP.localhost\r\n\r\n", `GET / SHOP.localhost ""`},
	{"host with last dot", "GET / HTTP/1.1\r\nHost: H.\r\n\r\n", `GET / H. ""`},
	{"length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\n\r\n12345", `POST / H "12345" CL=5`},
	{"length 0", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 0\r\n\r\n", `POST / H "" CL=0`},
	{"length with zeros before", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 005\r\n\r\n12345", `POST / H "12345" CL=5`},
	{"length of a GET", "GET / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\n\r\n12345", `GET / H "12345" CL=5`},
	{"chunked", chunkedPost + "5\r\n12345\r\n0\r\n\r\n", `POST / H "12345" TE`},
	{"chunked in capitals", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\n12345\r\n0\r\n\r\n", `POST / H "12345" TE`},
	{"several chunks", chunkedPost + "2\r\n12\r\n3\r\n345\r\n0\r\n\r\n", `POST / H "12345" TE`},
	{"chunk size with zeros before", chunkedPost + "0005\r\n12345\r\n000\r\n\r\n", `POST / H "12345" TE`},
	{"chunk size in hexadecimal", chunkedPost + "A\r\n1234567890\r\n0\r\n\r\n", `POST / H "1234567890" TE`},
	{"chunk extension", chunkedPost + "5;a=b;c=\"d\"\r\n12345\r\n0\r\n\r\n", `POST / H "12345" TE`},
	{"space before a chunk extension", chunkedPost + "5 ;a\r\n12345\r\n0\r\n\r\n", `POST / H "12345" TE`},
	{"trailer", chunkedPost + "5\r\n12345\r\n0\r\nX-Sum: 1\r\n\r\n", `POST / H "12345" TE`},
	{"trailer that frames", chunkedPost + "5\r\n12345\r\n0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", `POST / H "12345" TE`},
	{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: H\r\n\r\n", `GET / H "" then close`},
	{"HTTP/1.0 that is kept", "GET / HTTP/1.0\r\nHost: H\r\nConnection: keep-alive\r\n\r\n", `GET / H ""`},
	{"close", "GET / HTTP/1.1\r\nHost: H\r\nConnection: close\r\n\r\n", `GET / H "" then close`},
	{"close among others", "GET / HTTP/1.1\r\nHost: H\r\nConnection: x, Close\r\n\r\n", `GET / H "" then close`},
	{"empty line before", "\r\nGET / HTTP/1.1\r\nHost: H\r\n\r\n", `GET / H ""`},
	{"two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: H\r\n\r\n", `GET / H ""`},
	{"spaces around a value", "GET / HTTP/1.1\r\nHost: \t H \t\r\nX-A:  b c\t\r\n\r\n", `GET / H "" X-A=b c`},
	{"no space before a value", "GET / HTTP/1.1\r\nHost:H\r\nX-A:b\r\n\r\n", `GET / H "" X-A=b`},
	{"empty value", "GET / HTTP/1.1\r\nHost: H\r\nX-A:\r\n\r\n", `GET / H "" X-A=`},
	{"bytes beyond ASCII in a value", "GET / HTTP/1.1\r\nHost: H\r\nX-A: \xc3\xbc\r\n\r\n", "GET / H \"\" X-A=\xc3\xbc"},
	{"a field twice", "GET / HTTP/1.1\r\nHost: H\r\nX-A: b\r\nX-A: c\r\n\r\n", `GET / H "" X-A=b X-A=c`},
	{"unknown method", "BREW /pot HTTP/1.1\r\nHost: H\r\n\r\n", `BREW /pot H ""`},
	{"method in small letters", "get / HTTP/1.1\r\nHost: H\r\n\r\n", `get / H ""`},
	{"absolute form", "GET http://H/x?y HTTP/1.1\r\nHost: H\r\n\r\n", `GET /x?y H ""`},
	{"absolute form, scheme in capitals", "GET HTTP://H/x HTTP/1.1\r\nHost: H\r\n\r\n", `GET /x H ""`},
	{"absolute form, https", "GET https://H/x HTTP/1.1\r\nHost: H\r\n\r\n", `GET /x H ""`},
	{"absolute form without a path", "GET http://H HTTP/1.1\r\nHost: H\r\n\r\n", `GET / H ""`},
	{"absolute form, query without a path", "GET http://H?x=/y HTTP/1.1\r\nHost: H\r\n\r\n", `GET /?x=/y H ""`},
	{"absolute form counts more than Host", "GET http://H/ HTTP/1.1\r\nHost: evil.localhost\r\n\r\n", `GET / H ""`},
	{"OPTIONS of the server", "OPTIONS * HTTP/1.1\r\nHost: H\r\n\r\n", `OPTIONS * H ""`},
	{"OPTIONS of the server, absolute form", "OPTIONS http://H HTTP/1.1\r\nHost: H\r\n\r\n", `OPTIONS * H ""`},
	{"OPTIONS of a path, absolute form", "OPTIONS http://H/ HTTP/1.1\r\nHost: H\r\n\r\n", `OPTIONS / H ""`},
	{"odd target", "GET //x/../%2e%2e/;a HTTP/1.1\r\nHost: H\r\n\r\n", `GET //x/../%2e%2e/;a H ""`},
	// Hop by hop, and what the proxy says itself.
	{"connection names a field", "GET / HTTP/1.1\r\nHost: H\r\nConnection: X-A\r\nX-A: b\r\nX-B: c\r\n\r\n", `GET / H "" X-B=c`},
	{"connection names a field, twice", "GET / HTTP/1.1\r\nHost: H\r\nConnection: x-a\r\nConnection: ,x-b,\r\nX-A: b\r\nX-B: c\r\n\r\n", `GET / H ""`},
	{"connection names cookies", "GET / HTTP/1.1\r\nHost: H\r\nConnection: cookie, authorization\r\nCookie: a=b\r\nAuthorization: Bearer x\r\nX-B: c\r\n\r\n", `GET / H "" X-B=c`},
	{"connection names length", "POST / HTTP/1.1\r\nHost: H\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\n12345", `POST / H "12345" CL=5`},
	{"connection names host", "GET / HTTP/1.1\r\nHost: H\r\nConnection: Host\r\n\r\n", `GET / H ""`},
	{"connection names very much", "GET / HTTP/1.1\r\nHost: H\r\nConnection: " + strings.Repeat("a,", 33) + "\r\n\r\n", "400"},
	{"connection names very much, line by line", "GET / HTTP/1.1\r\nHost: H\r\n" + strings.Repeat("Connection: a\r\n", 33) + "\r\n", "400"},
	{"connection names nothing, at length", "GET / HTTP/1.1\r\nHost: H\r\nConnection: " + strings.Repeat(",", 9000) + "\r\n\r\n", `GET / H ""`},
	{"keep-alive, proxy-connection", "GET / HTTP/1.1\r\nHost: H\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\nProxy-Authorization: x\r\n\r\n", `GET / H ""`},
	{"TE", "GET / HTTP/1.1\r\nHost: H\r\nConnection: TE\r\nTE: gzip\r\n\r\n", `GET / H ""`},
	{"upgrade to h2c", "GET / HTTP/1.1\r\nHost: H\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", `GET / H ""`},
	{"upgrade with a body", "POST / HTTP/1.1\r\nHost: H\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n12345", `POST / H "12345" CL=5`},
	{"upgrade without Connection", "GET / HTTP/1.1\r\nHost: H\r\nUpgrade: websocket\r\n\r\n", `GET / H ""`},
	{"length with underscore", "POST / HTTP/1.1\r\nHost: H\r\nContent_Length: 5\r\n\r\n", `POST / H ""`},
	{"length with underscore, and another", "POST / HTTP/1.1\r\nHost: H\r\nContent_Length: 50\r\nContent-Length: 5\r\n\r\n12345", `POST / H "12345" CL=5`},
	{"encoding with underscore", "POST / HTTP/1.1\r\nHost: H\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n12345", `POST / H "12345" CL=5`},
	{"encoding with underscore alone", "POST / HTTP/1.1\r\nHost: H\r\nTransfer_Encoding: chunked\r\n\r\n", `POST / H ""`},
	{"forwarding with underscores", "GET / HTTP/1.1\r\nHost: H\r\nX_Forwarded_For: evil\r\nx_real_ip: evil\r\nX_Forwarded-Proto: evil\r\nX_Request_Id: evil-evil-evil-evil-evil\r\n\r\n", `GET / H ""`},
	{"forwarding", "GET / HTTP/1.1\r\nHost: H\r\nX-Forwarded-For: evil\r\nForwarded: for=evil\r\nX-Real-IP: evil\r\n\r\n", `GET / H ""`},
	{"another name with underscores", "GET / HTTP/1.1\r\nHost: H\r\nX_A: b\r\n\r\n", `GET / H "" X_A=b`},
	// Framing in doubt.
	{"CL and TE", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED", "400"},
	{"TE and CL", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nSMUGGLED", "400"},
	{"two lengths", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345SMUGGLED", "400"},
	{"two equal lengths", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n12345SMUGGLED", "400"},
	{"length list", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5, 5\r\n\r\n12345SMUGGLED", "400"},
	{"plus length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: +5\r\n\r\n12345SMUGGLED", "400"},
	{"minus length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: -5\r\n\r\n12345SMUGGLED", "400"},
	{"hex length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 0x5\r\n\r\n12345SMUGGLED", "400"},
	{"empty length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: \r\n\r\nSMUGGLED", "400"},
	{"huge length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 99999999999999999999\r\n\r\nSMUGGLED", "400"},
	{"length with space inside", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5 5\r\n\r\n12345SMUGGLED", "400"},
	{"space before colon", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length : 5\r\n\r\n12345SMUGGLED", "400"},
	{"tab before colon", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\nSMUGGLED", "400"},
	{"folded TE", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\nSMUGGLED", "501"},
	{"folded value", "POST / HTTP/1.1\r\nHost: H\r\nX: a\r\n Content-Length: 5\r\n\r\n12345SMUGGLED", "400"},
	{"leading space", "POST / HTTP/1.1\r\n Host: H\r\nContent-Length: 5\r\n\r\n12345SMUGGLED", "400"},
	{"TE xchunked", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nSMUGGLED", "501"},
	{"TE chunked, identity", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nSMUGGLED", "501"},
	{"TE identity, chunked", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\nSMUGGLED", "501"},
	{"TE gzip, chunked", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\nSMUGGLED", "501"},
	{"TE twice", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED", "400"},
	{"TE twice, other", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\nSMUGGLED", "400"},
	{"TE quoted", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\nSMUGGLED", "501"},
	{"TE with vertical tab", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\nSMUGGLED", "400"},
	{"TE with NUL", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\nSMUGGLED", "400"},
	{"TE empty", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\nSMUGGLED", "501"},
	{"TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED", "400"},
	// Lines and names in doubt.
	{"bare LF line", "POST / HTTP/1.1\nHost: H\nContent-Length: 5\n\n12345SMUGGLED", "400"},
	{"bare LF in head", "POST / HTTP/1.1\r\nHost: H\r\nX: a\nContent-Length: 5\r\n\r\n12345SMUGGLED", "400"},
	{"bare CR in value", "POST / HTTP/1.1\r\nHost: H\r\nX: a\rContent-Length: 5\r\n\r\nSMUGGLED", "400"},
	{"LF LF end", "GET / HTTP/1.1\r\nHost: H\r\n\nSMUGGLED", "400"},
	{"NUL in name", "GET / HTTP/1.1\r\nHost: H\r\nX\x00Y: a\r\n\r\n", "400"},
	{"NUL in value", "GET / HTTP/1.1\r\nHost: H\r\nX-A: a\x00b\r\n\r\n", "400"},
	{"DEL in value", "GET / HTTP/1.1\r\nHost: H\r\nX-A: a\x7fb\r\n\r\n", "400"},
	{"no colon", "GET / HTTP/1.1\r\nHost: H\r\nSMUGGLED\r\n\r\n", "400"},
	{"empty name", "GET / HTTP/1.1\r\nHost: H\r\n: a\r\n\r\n", "400"},
	{"space in name", "GET / HTTP/1.1\r\nHost: H\r\nX A: a\r\n\r\n", "400"},
	{"bytes beyond ASCII in a name", "GET / HTTP/1.1\r\nHost: H\r\nX-\xc3\xbc: a\r\n\r\n", "400"},
	{"three empty lines before", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	// Whose request it is.
	{"two hosts", "GET / HTTP/1.1\r\nHost: H\r\nHost: evil.localhost\r\n\r\n", "400"},
	{"the same host twice", "GET / HTTP/1.1\r\nHost: H\r\nHost: H\r\n\r\n", "400"},
	{"no host", "GET / HTTP/1.1\r\n\r\n", "400"},
	{"host with path", "GET / HTTP/1.1\r\nHost: H/x\r\n\r\n", "400"},
	{"host with user", "GET / HTTP/1.1\r\nHost: evil@H\r\n\r\n", "400"},
	{"host with comma", "GET / HTTP/1.1\r\nHost: H,evil.localhost\r\n\r\n", "400"},
	{"host with space", "GET / HTTP/1.1\r\nHost: H evil.localhost\r\n\r\n", "400"},
	{"host with a port that is none", "GET / HTTP/1.1\r\nHost: H:abc\r\n\r\n", "400"},
	{"host with two ports", "GET / HTTP/1.1\r\nHost: H:1:2\r\n\r\n", "400"},
	{"host of a port alone", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "400"},
	{"host that is a pattern", "GET / HTTP/1.1\r\nHost: *.wild.localhost\r\n\r\n", "400"},
	{"host in open brackets", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "400"},
	{"absolute form, bad Host", "GET http://H/ HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
	{"absolute form, user", "GET http://evil@H/ HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	{"absolute form, no host", "GET http:///x HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	{"absolute form, other scheme", "GET ftp://H/x HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	// The request line in doubt.
	{"space in target", "GET / SMUGGLED HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	{"tab in request line", "GET\t/ HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	{"space after the version", "GET / HTTP/1.1 \r\nHost: H\r\n\r\n", "400"},
	{"space before the method", " GET / HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	{"version HTTP/1.10", "GET / HTTP/1.10\r\nHost: H\r\n\r\n", "505"},
	{"version HTTP/2.0", "GET / HTTP/2.0\r\nHost: H\r\n\r\n", "505"},
	{"version http/1.1", "GET / http/1.1\r\nHost: H\r\n\r\n", "400"},
	{"no version", "GET /\r\nHost: H\r\n\r\n", "400"},
	{"CONNECT", "CONNECT H:443 HTTP/1.1\r\nHost: H\r\n\r\nSMUGGLED", "400"},
	{"fragment", "GET /#SMUGGLED HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	{"target without a slash", "GET x HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	{"GET of the server", "GET * HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	{"NUL in target", "GET /\x00 HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	{"method with colon", "GET: / HTTP/1.1\r\nHost: H\r\n\r\n", "400"},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
	{"TLS", "\x16\x03\x01\x00\x05hello\r\n\r\n", "400"},
	{"target too long", "GET /" + strings.Repeat("x", 70<<10) + " HTTP/1.1\r\nHost: H\r\n\r\n", "414 and next"},
	{"target far too long", "GET /" + strings.Repeat("x", 300<<10) + " HTTP/1.1\r\nHost: H\r\n\r\n", "414"},
	{"field too long", "GET / HTTP/1.1\r\nHost: H\r\nX: " + strings.Repeat("x", 300<<10) + "\r\n\r\n", "431"},
	{"expectation", "POST / HTTP/1.1\r\nHost: H\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\n12345", "417"},
	// Chunks in doubt.
	{"chunk size with plus", chunkedPost + "+5\r\n12345\r\n0\r\n\r\nSMUGGLED", "400"},
	{"chunk size 0x", chunkedPost + "0x5\r\n12345\r\n0\r\n\r\nSMUGGLED", "400"},
	{"chunk size too long", chunkedPost + "00000000000000005\r\n12345\r\n0\r\n\r\nSMUGGLED", "400"},
	{"chunk size overflow", chunkedPost + "ffffffffffffffff1\r\n12345\r\n0\r\n\r\nSMUGGLED", "400"},
	{"chunk size empty", chunkedPost + "\r\n12345\r\n0\r\n\r\nSMUGGLED", "400"},
	{"chunk size minus", chunkedPost + "-5\r\n12345\r\n0\r\n\r\nSMUGGLED", "400"},
	{"space before a chunk size", chunkedPost + " 5\r\n12345\r\n0\r\n\r\nSMUGGLED", "400"},
	{"chunk size with underscore", chunkedPost + "1_0\r\n1234567890123456\r\n0\r\n\r\nSMUGGLED", "400"},
	{"chunk bare LF", chunkedPost + "5\n12345\n0\n\nSMUGGLED", "400"},
	{"chunk extension with LF", chunkedPost + "5;a\nSMUGGLED\r\n12345\r\n0\r\n\r\n", "400"},
	{"chunk extension with CR", chunkedPost + "5;a\rb\r\n12345\r\n0\r\n\r\nSMUGGLED", "400"},
	{"chunk without end", chunkedPost + "5\r\n12345X\r\n0\r\n\r\nSMUGGLED", "400"},
	{"chunk too short", chunkedPost + "6\r\n12345\r\n0\r\n\r\nSMUGGLED", "400"},
	{"trailer bare LF", chunkedPost + "0\r\nX: a\nContent-Length: 5\r\n\r\nSMUGGLED", "400"},
	{"trailer without colon", chunkedPost + "0\r\nSMUGGLED\r\n\r\n", "400"},
	{"trailers too large", chunkedPost + "0\r\n" + strings.Repeat("X: "+strings.Repeat("a", 997)+"\r\n", 20) + "\r\n", "400"},
}

const chunkedPost = "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n"

// recordingApp notes each whole request that it gets, and answers it.
type recordingApp struct {
	mu   sync.Mutex
	seen []string
}

// written are the fields that the proxy writes on every request, whatever it got.
var written = []string{"host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-host", "x-request-id", "x-request-start", "via"}

func (a *recordingApp) handle(c net.Conn, r *bufio.Reader) {
	for {
		var text strings.Builder
		req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(oneByOne{r}, &text)))
		if err != nil {
			if text.Len() > 0 {
				a.add("UNREADABLE " + text.String())
			}
			return
		}
		probe := req.Header.Get("User-Agent") == "towline-health"
		head := text.String()
		body, err := io.ReadAll(req.Body)
		if !probe && err == nil {
			a.add(note(req, head, body))
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

// note says method, target, host and body, then how the body was framed and every field
// that the proxy did not write, as they stood on the wire.
func note(req *http.Request, head string, body []byte) string {
	line := fmt.Sprintf("%s %s %s %q", req.Method, req.RequestURI, req.Host, body)
	for _, field := range strings.Split(strings.TrimRight(head, "\r\n"), "\r\n")[1:] {
		name, value, _ := strings.Cut(field, ": ")
		switch lower := strings.ToLower(name); {
		case lower == "content-length":
			line += " CL=" + value
		case lower == "transfer-encoding":
			line += " TE"
		case strings.Contains(value, "evil"):
			line += " " + field
		case !slices.Contains(written, lower):
			line += " " + name + "=" + value
		}
	}
	return line
}

func (a *recordingApp) add(s string) {
	a.mu.Lock()
	a.seen = append(a.seen, s)
	a.mu.Unlock()
}

func (a *recordingApp) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.seen
	a.seen = nil
	return list
}

// oneByOne keeps a reader from being read ahead of what was asked for.
type oneByOne struct{ r *bufio.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

// statuses reads final answers until the connection ends.
func statuses(c net.Conn) (list []int) {
	answers := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(answers, &http.Request{Method: "POST"})
		if err != nil {
			return list
		}
		io.Copy(io.Discard, res.Body)
		if res.StatusCode >= 200 {
			list = append(list, res.StatusCode)
		}
	}
}

func TestFormsOfRequests(t *testing.T) {
	if len(forms) < 90 {
		t.Fatalf("only %d forms", len(forms))
	}
	s := start(t)
	a := &recordingApp{}
	service := shop(rawApp(t, a.handle))
	service.Hosts = append(service.Hosts, "*.wild.localhost")
	service.Options.PlainHTTP = true
	s.deploy(service)
	host := strings.NewReplacer("Host: H", "Host: shop.localhost", "Host:H", "Host:shop.localhost", "Host: \t H", "Host: \t shop.localhost", "//H", "//shop.localhost", "@H", "@shop.localhost")
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			c := s.dialPlain()
			c.SetDeadline(time.Now().Add(time.Minute))
			io.WriteString(c, host.Replace(form.text)+"GET /next HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n")
			// Nothing more comes: what is incomplete now stays so.
			c.(*net.TCPConn).CloseWrite()
			got := fmt.Sprint(statuses(c))
			var want string
			var seen []string
			view, closes := strings.CutSuffix(form.want, " then close")
			switch {
			case form.want == "414 and next":
				want, seen = "[414 200]", []string{`GET /next shop.localhost ""`}
			case form.want[0] >= '1' && form.want[0] <= '9':
				want = "[" + form.want + "]"
			case closes:
				want, seen = "[200]", []string{view}
			default:
				want, seen = "[200 200]", []string{view, `GET /next H ""`}
			}
			for i := range seen {
				seen[i] = strings.Replace(seen[i], " H", " shop.localhost", 1)
			}
			if saw := a.take(); got != want || !slices.Equal(saw, seen) {
				t.Errorf("answered %s, want %s\nthe app saw %q\n       want %q", got, want, saw, seen)
			}
		})
	}
}
