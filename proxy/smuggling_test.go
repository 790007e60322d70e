package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a client may send so that two readers see two different requests. Each
// must be refused, or reach the app as one request that can be read in one way.
var smuggling = []struct{ name, text string }{
	{"CL and TE", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"TE and CL", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"two lengths", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345SMUGGLED"},
	{"two equal lengths", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n12345SMUGGLED"},
	{"length list", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5, 5\r\n\r\n12345SMUGGLED"},
	{"plus length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: +5\r\n\r\n12345SMUGGLED"},
	{"minus length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: -5\r\n\r\n12345SMUGGLED"},
	{"hex length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 0x5\r\n\r\n12345SMUGGLED"},
	{"empty length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: \r\n\r\nSMUGGLED"},
	{"huge length", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 99999999999999999999\r\n\r\nSMUGGLED"},
	{"length with space inside", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5 5\r\n\r\n12345SMUGGLED"},
	{"space before colon", "POST / HTTP/1.1\r\nHost: H\r\nContent-Length : 5\r\n\r\n12345SMUGGLED"},
	{"tab before colon", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"folded TE", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"folded value", "POST / HTTP/1.1\r\nHost: H\r\nX: a\r\n Content-Length: 5\r\n\r\n12345SMUGGLED"},
	{"leading space", "POST / HTTP/1.1\r\n Host: H\r\nContent-Length: 5\r\n\r\n12345SMUGGLED"},
	{"TE xchunked", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"TE chunked, identity", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"TE identity, chunked", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"TE gzip, chunked", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"TE twice", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"TE twice, other", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"TE quoted", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"TE with vertical tab", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"TE with NUL", "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"underscore TE", "POST / HTTP/1.1\r\nHost: H\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nSMUGGLED"},
	{"bare LF line", "POST / HTTP/1.1\nHost: H\nContent-Length: 5\n\n12345SMUGGLED"},
	{"bare LF in head", "POST / HTTP/1.1\r\nHost: H\r\nX: a\nContent-Length: 5\r\n\r\n12345SMUGGLED"},
	{"bare CR in value", "POST / HTTP/1.1\r\nHost: H\r\nX: a\rContent-Length: 5\r\n\r\nSMUGGLED"},
	{"LF LF end", "GET / HTTP/1.1\r\nHost: H\r\n\nSMUGGLED"},
	{"NUL in name", "GET / HTTP/1.1\r\nHost: H\r\nX\x00Y: a\r\n\r\n"},
	{"no colon", "GET / HTTP/1.1\r\nHost: H\r\nSMUGGLED\r\n\r\n"},
	{"empty name", "GET / HTTP/1.1\r\nHost: H\r\n: a\r\n\r\n"},
	{"two hosts", "GET / HTTP/1.1\r\nHost: H\r\nHost: evil.localhost\r\n\r\n"},
	{"no host", "GET / HTTP/1.1\r\n\r\n"},
	{"host with path", "GET / HTTP/1.1\r\nHost: H/x\r\n\r\n"},
	{"host with user", "GET / HTTP/1.1\r\nHost: evil@H\r\n\r\n"},
	{"absolute form, other host", "GET http://H/ HTTP/1.1\r\nHost: evil.localhost\r\n\r\n"},
	{"space in target", "GET / SMUGGLED HTTP/1.1\r\nHost: H\r\n\r\n"},
	{"tab in request line", "GET\t/ HTTP/1.1\r\nHost: H\r\n\r\n"},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: H\r\n\r\n"},
	{"version HTTP/1.10", "GET / HTTP/1.10\r\nHost: H\r\n\r\n"},
	{"version HTTP/2.0", "GET / HTTP/2.0\r\nHost: H\r\n\r\n"},
	{"no version", "GET /\r\nHost: H\r\n\r\n"},
	{"CONNECT", "CONNECT H:443 HTTP/1.1\r\nHost: H\r\n\r\nSMUGGLED"},
	{"fragment", "GET /#SMUGGLED HTTP/1.1\r\nHost: H\r\n\r\n"},
	{"method with colon", "GET: / HTTP/1.1\r\nHost: H\r\n\r\n"},
	{"chunk size with plus", chunkedPost + "+5\r\n12345\r\n0\r\n\r\nSMUGGLED"},
	{"chunk size 0x", chunkedPost + "0x5\r\n12345\r\n0\r\n\r\nSMUGGLED"},
	{"chunk size too long", chunkedPost + "00000000000000005\r\n12345\r\n0\r\n\r\nSMUGGLED"},
	{"chunk size overflow", chunkedPost + "ffffffffffffffff1\r\n12345\r\n0\r\n\r\nSMUGGLED"},
	{"chunk size empty", chunkedPost + "\r\n12345\r\n0\r\n\r\nSMUGGLED"},
	{"chunk size minus", chunkedPost + "-5\r\n12345\r\n0\r\n\r\nSMUGGLED"},
	{"chunk bare LF", chunkedPost + "5\n12345\n0\n\nSMUGGLED"},
	{"chunk extension with LF", chunkedPost + "5;a\nSMUGGLED\r\n12345\r\n0\r\n\r\n"},
	{"chunk extension with CR", chunkedPost + "5;a\rb\r\n12345\r\n0\r\n\r\nSMUGGLED"},
	{"chunk without end", chunkedPost + "5\r\n12345X\r\n0\r\n\r\nSMUGGLED"},
	{"chunk too short", chunkedPost + "6\r\n12345\r\n0\r\n\r\nSMUGGLED"},
	{"trailer bare LF", chunkedPost + "0\r\nX: a\nContent-Length: 5\r\n\r\nSMUGGLED"},
	{"trailer without colon", chunkedPost + "0\r\nSMUGGLED\r\n\r\n"},
	{"connection names length", "POST / HTTP/1.1\r\nHost: H\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\n12345"},
	{"connection names host", "GET / HTTP/1.1\r\nHost: H\r\nConnection: Host\r\n\r\n"},
	{"upgrade to h2c", "GET / HTTP/1.1\r\nHost: H\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"},
	{"upgrade with body", "POST / HTTP/1.1\r\nHost: H\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n12345"},
	{"expectation", "POST / HTTP/1.1\r\nHost: H\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\n12345"},
	{"http2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
}

const chunkedPost = "POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n"

// recordingApp keeps the bytes of each connection, and answers every head.
type recordingApp struct {
	mu   sync.Mutex
	seen []string
}

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
		body, err := io.ReadAll(req.Body)
		if !probe && err == nil {
			a.add(fmt.Sprintf("%s %s %s %q TE=%q CL=%q Up=%q\n%s", req.Method, req.RequestURI, req.Host, body, req.TransferEncoding, req.Header["Content-Length"], req.Header["Upgrade"], text.String()))
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
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

func TestSmugglingCorpus(t *testing.T) {
	if len(smuggling) < 40 {
		t.Fatalf("only %d forms", len(smuggling))
	}
	s := start(t)
	a := &recordingApp{}
	target := rawApp(t, a.handle)
	s.deploy(shop(target))
	for _, form := range smuggling {
		t.Run(form.name, func(t *testing.T) {
			c := s.dialTLS()
			io.WriteString(c, strings.ReplaceAll(form.text, "Host: H", "Host: shop.localhost"))
			// Nothing more comes: what is incomplete now stays so.
			c.(interface{ CloseWrite() error }).CloseWrite()
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			answers := bufio.NewReader(c)
			var statuses []int
			for {
				res, err := http.ReadResponse(answers, &http.Request{Method: "POST"})
				if err != nil {
					break
				}
				io.Copy(io.Discard, res.Body)
				statuses = append(statuses, res.StatusCode)
			}
			seen := a.take()
			for _, text := range seen {
				if strings.Contains(text, "SMUGGLED") || strings.HasPrefix(text, "UNREADABLE") || strings.Contains(text, "evil") || strings.Contains(text, "Up=[\"") {
					t.Errorf("the app saw %s", text)
				}
			}
			if len(seen) > 1 {
				t.Errorf("one request became %d", len(seen))
			}
			for i, status := range statuses {
				if status == 200 && len(seen) == 0 || status == 200 && i > 0 {
					t.Errorf("answered %v, app saw %d requests", statuses, len(seen))
				}
			}
			t.Logf("%v, app saw %d", statuses, len(seen))
		})
	}
	if got := s.get(shopURL); got.StatusCode != 200 {
		t.Errorf("afterwards: %d", got.StatusCode)
	}
}

// The same for HTTP/2, where the danger is in what becomes of it in HTTP/1.1.
func TestHTTP2FieldsThatHTTP1WouldReadDifferently(t *testing.T) {
	s := start(t)
	a := &recordingApp{}
	s.deploy(shop(rawApp(t, a.handle)))
	for name, fields := range map[string][][2]string{
		"connection":        {{"connection", "close"}},
		"transfer-encoding": {{"transfer-encoding", "chunked"}},
		"keep-alive":        {{"keep-alive", "1"}},
		"upgrade":           {{"upgrade", "websocket"}},
		"upper case":        {{"X-Upper", "a"}},
		"crlf in value":     {{"x", "a\r\nSMUGGLED: b"}},
		"lf in value":       {{"x", "a\nSMUGGLED: b"}},
		"nul in value":      {{"x", "a\x00b"}},
		"crlf in name":      {{"x: a\r\nsmuggled", "b"}},
		"space in name":     {{"x y", "b"}},
		"colon in name":     {{"x:y", "b"}},
		"empty name":        {{"", "b"}},
		"te":                {{"te", "gzip"}},
		"two lengths":       {{"content-length", "0"}, {"content-length", "0"}},
		"bad length":        {{"content-length", "+0"}},
		"length, no body":   {{"content-length", "5"}},
		"other host":        {{"host", "evil.localhost"}},
		"pseudo after":      {{"x", "a"}, {":path", "/SMUGGLED"}},
		"pseudo twice":      {{":method", "POST"}},
		"unknown pseudo":    {{":proto", "x"}},
		"crlf in path":      {{":path!", "/ HTTP/1.1\r\nSMUGGLED: x\r\n\r\n"}},
		"space in path":     {{":path!", "/ SMUGGLED"}},
		"no slash":          {{":path!", "SMUGGLED"}},
		"empty path":        {{":path!", ""}},
		"absolute path":     {{":path!", "http://evil.localhost/"}},
		"crlf in method":    {{":method!", "GET / HTTP/1.1\r\nSMUGGLED: "}},
		"connect":           {{":method!", "CONNECT"}},
		"crlf in authority": {{":authority!", "shop.localhost\r\nSMUGGLED: x"}},
		"user in authority": {{":authority!", "evil@shop.localhost"}},
	} {
		if code := s.h2Raw(t, fields); code != "reset 1" && !strings.HasPrefix(code, "goaway") {
			t.Errorf("%s: %s", name, code)
		}
		if seen := a.take(); len(seen) > 0 {
			t.Errorf("%s: the app saw %q", name, seen)
		}
	}
	if code := s.h2Raw(t, nil); code != "status 200" {
		t.Errorf("a sound request: %s", code)
	}
}
