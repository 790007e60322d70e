package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// Requests in forms that two readers could take for different ones, or that
// HTTP/1.1 cannot say. Each is refused, or the app sees one request that can be
// read in one way; and the next request on the connection is its own.
//
// saw is what the app got: method, target, host, body, then the fields that count;
// "": nothing. told is what the client got: a status, or the code of a reset.
var h2forms = []struct {
	name   string
	fields [][2]string
	body   string // "-": none, END_STREAM on the head
	saw    string
	told   string
}{
	{"plain", nil, "-", "GET / shop.localhost ", "200"},
	{"a query", [][2]string{{":path!", "/a?b=c&d=%20"}}, "-", "GET /a?b=c&d=%20 shop.localhost ", "200"},
	{"an encoded path", [][2]string{{":path!", "/%2e%2e/%00/a%2Fb"}}, "-", "GET /%2e%2e/%00/a%2Fb shop.localhost ", "200"},
	{"two slashes", [][2]string{{":path!", "//evil.localhost/x"}}, "-", "GET //evil.localhost/x shop.localhost ", "200"},
	{"absolute form", [][2]string{{":path!", "http://evil.localhost/x"}}, "-", "", "PROTOCOL_ERROR"},
	{"a relative path", [][2]string{{":path!", "x"}}, "-", "", "PROTOCOL_ERROR"},
	{"a path with a space", [][2]string{{":path!", "/a b"}}, "-", "", "PROTOCOL_ERROR"},
	{"a request in the path", [][2]string{{":path!", "/ HTTP/1.1\r\nHost: evil\r\n\r\nGET /x"}}, "-", "", "PROTOCOL_ERROR"},
	{"a path with a tab", [][2]string{{":path!", "/a\tb"}}, "-", "", "PROTOCOL_ERROR"},
	{"a path with NUL", [][2]string{{":path!", "/a\x00b"}}, "-", "", "PROTOCOL_ERROR"},
	{"a star", [][2]string{{":path!", "*"}}, "-", "", "PROTOCOL_ERROR"},
	{"OPTIONS of a star", [][2]string{{":method!", "OPTIONS"}, {":path!", "*"}}, "-", "", "200"}, // net/http answers that itself,
	{"an empty path", [][2]string{{":path!", ""}}, "-", "", "PROTOCOL_ERROR"},
	{"a method in lower case", [][2]string{{":method!", "get"}}, "-", "get / shop.localhost ", "200"},
	{"a method of one's own", [][2]string{{":method!", "PURGE"}}, "-", "PURGE / shop.localhost ", "200"},
	{"an empty method", [][2]string{{":method!", ""}}, "-", "", "PROTOCOL_ERROR"},
	{"a method with a space", [][2]string{{":method!", "GET /x HTTP/1.1\r\nX:"}}, "-", "", "PROTOCOL_ERROR"},
	{"CONNECT", [][2]string{{":method!", "CONNECT"}}, "-", "", "PROTOCOL_ERROR"},
	{"another host", [][2]string{{":authority!", "evil.localhost"}}, "-", "", "404"},
	{"a host with a port", [][2]string{{":authority!", "shop.localhost:443"}}, "-", "GET / shop.localhost:443 ", "200"},
	{"a host in upper case", [][2]string{{":authority!", "SHOP.localhost"}}, "-", "GET / SHOP.localhost ", "200"},
	{"a host with a user", [][2]string{{":authority!", "evil@shop.localhost"}}, "-", "", "PROTOCOL_ERROR"},
	{"a host with a path", [][2]string{{":authority!", "shop.localhost/x"}}, "-", "", "PROTOCOL_ERROR"},
	{"a host with a line feed", [][2]string{{":authority!", "shop.localhost\nX: y"}}, "-", "", "PROTOCOL_ERROR"},
	{"the same host twice", [][2]string{{"host", "shop.localhost"}}, "-", "GET / shop.localhost ", "200"},
	{"two hosts", [][2]string{{"host", "evil.localhost"}}, "-", "", "PROTOCOL_ERROR"},
	{"three hosts", [][2]string{{"host", "shop.localhost"}, {"host", "shop.localhost"}}, "-", "", "PROTOCOL_ERROR"},
	{"an empty authority", [][2]string{{":authority!", ""}}, "-", "", "PROTOCOL_ERROR"},
	{"a body", [][2]string{{":method!", "POST"}}, "hello", "POST / shop.localhost hello", "200"},
	{"a body of known length", [][2]string{{":method!", "POST"}, {"content-length", "5"}}, "hello", "POST / shop.localhost hello", "200"},
	{"a body of another length", [][2]string{{":method!", "POST"}, {"content-length", "4"}}, "hello", "", "PROTOCOL_ERROR"},
	{"a body that looks like a request", [][2]string{{":method!", "POST"}, {"content-length", "9"}}, "GET /x HTTP/1.1\r\n\r\n", "", "PROTOCOL_ERROR"},
	{"two lengths", [][2]string{{":method!", "POST"}, {"content-length", "5"}, {"content-length", "5"}}, "hello", "", "PROTOCOL_ERROR"},
	{"two other lengths", [][2]string{{":method!", "POST"}, {"content-length", "5"}, {"content-length", "6"}}, "hello", "", "PROTOCOL_ERROR"},
	{"a list of lengths", [][2]string{{":method!", "POST"}, {"content-length", "5, 5"}}, "hello", "", "PROTOCOL_ERROR"},
	{"a length with a sign", [][2]string{{":method!", "POST"}, {"content-length", "+5"}}, "hello", "", "PROTOCOL_ERROR"},
	{"a length in hex", [][2]string{{":method!", "POST"}, {"content-length", "0x5"}}, "hello", "", "PROTOCOL_ERROR"},
	{"a huge length", [][2]string{{":method!", "POST"}, {"content-length", "99999999999999999999"}}, "hello", "", "PROTOCOL_ERROR"},
	{"an empty length", [][2]string{{":method!", "POST"}, {"content-length", ""}}, "hello", "", "PROTOCOL_ERROR"},
	{"a length of nothing", [][2]string{{":method!", "POST"}, {"content-length", "0"}}, "-", "POST / shop.localhost ", "200"},
	{"an empty body", [][2]string{{":method!", "POST"}}, "", "POST / shop.localhost ", "200"},
	{"transfer-encoding", [][2]string{{":method!", "POST"}, {"transfer-encoding", "chunked"}}, "0\r\n\r\n", "", "PROTOCOL_ERROR"},
	{"transfer-encoding beside a length", [][2]string{{":method!", "POST"}, {"content-length", "5"}, {"transfer-encoding", "chunked"}}, "0\r\n\r\n", "", "PROTOCOL_ERROR"},
	{"connection", [][2]string{{"connection", "close, x-mine"}, {"x-mine", "1"}}, "-", "", "PROTOCOL_ERROR"},
	{"upgrade", [][2]string{{"upgrade", "h2c"}, {"http2-settings", "AAMAAABkAAQAAP__"}}, "-", "", "PROTOCOL_ERROR"},
	{"te: gzip", [][2]string{{"te", "gzip"}}, "-", "", "PROTOCOL_ERROR"},
	{"a value with a line feed", [][2]string{{"x-mine", "a\nx-other: b"}}, "-", "", "PROTOCOL_ERROR"},
	{"a value with an end of line", [][2]string{{"x-mine", "a\r\n\r\nGET /x HTTP/1.1"}}, "-", "", "PROTOCOL_ERROR"},
	{"a value with NUL", [][2]string{{"x-mine", "a\x00b"}}, "-", "", "PROTOCOL_ERROR"},
	{"a name with a colon", [][2]string{{"x-mine:", "a"}}, "-", "", "PROTOCOL_ERROR"},
	{"a name with an end of line", [][2]string{{"x\r\ny", "a"}}, "-", "", "PROTOCOL_ERROR"},
	{"a name in upper case", [][2]string{{"X-Mine", "a"}}, "-", "", "PROTOCOL_ERROR"},
	{"an empty value", [][2]string{{"x-mine", ""}}, "-", "GET / shop.localhost  x-mine=", "200"},
	{"cookies in pieces", [][2]string{{"cookie", "a=1"}, {"cookie", "b=2"}}, "-", "GET / shop.localhost  cookie=a=1; b=2", "200"},
	{"a forwarded address", [][2]string{{"x-forwarded-for", "9.9.9.9"}, {"forwarded", "for=9.9.9.9"}, {"x-real-ip", "9.9.9.9"}}, "-", "GET / shop.localhost ", "200"},
	{"trailers announced", [][2]string{{":method!", "POST"}, {"trailer", "x-sum"}}, "hello", "POST / shop.localhost hello", "200"},
}

func TestHTTP2Forms(t *testing.T) {
	if len(h2forms) < 45 {
		t.Fatalf("only %d forms", len(h2forms))
	}
	s := start(t)
	seen := make(chan string, 100)
	s.deploy(shop(addr(app(t, forVisitors(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // it ends before it is whole: nobody takes it for a request
		}
		if r.RequestURI == "/next" {
			return
		}
		saw := fmt.Sprintf("%s %s %s %s", r.Method, r.RequestURI, r.Host, body)
		if l := r.ContentLength; l >= 0 && l != int64(len(body)) || len(r.TransferEncoding) > 1 {
			saw += " framed in another way"
		}
		for _, name := range []string{"X-Mine", "X-Other", "Cookie", "Forwarded", "X-Real-Ip", "Upgrade", "Connection"} {
			for _, v := range r.Header[name] {
				saw += " " + strings.ToLower(name) + "=" + v
			}
		}
		if strings.Contains(r.Header.Get("X-Forwarded-For"), "9.9.9.9") {
			saw += " believes the client's address"
		}
		seen <- saw
	})))))
	for _, form := range h2forms {
		t.Run(form.name, func(t *testing.T) {
			c := s.dialH2()
			defer c.Close()
			c.writeRequest(1, form.body == "-", form.fields)
			if form.body != "-" {
				c.framer.WriteData(1, true, []byte(form.body))
			}
			got := c.answerOf(1)
			told := got.status
			if got.end != "" && got.end != http2.ErrCodeNo.String() {
				told = got.end
			}
			if told != form.told {
				t.Errorf("the client was told %q, expected %q", told, form.told)
			}
			c.writeRequest(3, true, [][2]string{{":path!", "/next"}})
			if next := c.answerOf(3); next.status != "200" {
				t.Errorf("the next request: %+v", next)
			}
			var saw []string
			for len(seen) > 0 {
				saw = append(saw, <-seen)
			}
			var want []string
			if form.saw != "" {
				want = []string{form.saw}
			}
			if !slices.Equal(saw, want) {
				t.Errorf("the app saw %q, expected %q", saw, want)
			}
		})
	}
}
