package message_test

import (
	"strings"
	"testing"

	"towline/proxy/message"
)

// What the Connection fields of one message may name is bounded, in however many lines,
// for each name costs a comparison with each field.
func TestConnectionNamesAreBounded(t *testing.T) {
	for text, sound := range map[string]bool{
		"Connection: " + strings.Repeat("a,", 32) + "\r\n":                    true,
		"Connection: " + strings.Repeat("a,", 33) + "\r\n":                    false,
		strings.Repeat("Connection: a\r\n", 32):                               true,
		strings.Repeat("Connection: a\r\n", 33):                               false,
		strings.Repeat("Connection: close, keep-alive, ,,\r\n", 900):          true,
		"Connection: " + strings.Repeat(",", 60000) + "\r\nConnection: a\r\n": true,
	} {
		var h message.Head
		if err := h.ParseRequest([]byte("GET / HTTP/1.1\r\nHost: a\r\n" + text + "\r\n")); (err == nil) != sound {
			t.Errorf("request with %.40q: %v", text, err)
		}
		if h.NConnection > 32 {
			t.Errorf("%d names kept", h.NConnection)
		}
		if err := h.ParseResponse([]byte("HTTP/1.1 200 OK\r\n" + text + "\r\n")); (err == nil) != sound {
			t.Errorf("answer with %.40q: %v", text, err)
		}
	}
}

func TestFieldsAreKnownByTheirExactName(t *testing.T) {
	for name, want := range map[string]message.Kind{
		"Content-Length": message.KindContentLength, "content-length": message.KindContentLength,
		"Content_Length": message.KindHop, "TRANSFER_ENCODING": message.KindHop, "x_forwarded-for": message.KindHop,
		"X_Request_Id": message.KindHop, "X_Any": message.KindPlain, "Content-Lengths": message.KindPlain,
	} {
		if got := message.KindOf(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}
