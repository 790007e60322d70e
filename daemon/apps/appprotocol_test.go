package apps

import (
	"strings"
	"testing"
)

func TestParseProtocol(t *testing.T) {
	for text, want := range map[string]string{
		`{"protocol": {"web": "h2c"}}`:  "h2c",
		`{"protocol": {"web": "http"}}`: "",
		`{"protocol": {}}`:              "",
		`{}`:                            "",
	} {
		if got, err := parseProtocol([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		`{"protocol": {"web": "grpc"}}`:   `protocol "grpc" of web is not known`,
		`{"protocol": {"worker": "h2c"}}`: "web processes alone",
		`{"protocol": "h2c"}`:             "app.json is not valid",
	} {
		if _, err := parseProtocol([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
