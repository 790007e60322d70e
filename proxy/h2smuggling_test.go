package proxy_test

import (
	"strings"
	"testing"
)

// What HTTP/2 lets a client say; the danger is in what becomes of it in HTTP/1.1.
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
