package daemon

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseAppJSON(t *testing.T) {
	for text, want := range map[string]Health{
		`{}`: {},
		`{"healthchecks": {"worker": [{"path": "/up"}]}}`:                                                    {},
		`{"healthchecks": {"web": [{"type": "liveness", "path": "/a"}, {"type": "startup", "path": "/b"}]}}`: {Path: "/b"},
		`{"healthchecks": {"web": [{"path": "/up", "timeout": 1.5, "status": 204}]}}`:                        {Path: "/up", Timeout: 1500 * time.Millisecond, Status: []int{204}},
		`{"healthchecks": {"web": [{"path": "/up", "status": [200, 401]}]}}`:                                 {Path: "/up", Status: []int{200, 401}},
	} {
		if got, err := parseAppJSON([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		`{`: "app.json is not valid",
		`{"healthchecks": {"web": [{"path": "up"}]}}`:                    "does not begin with a slash",
		`{"healthchecks": {"web": [{"path": "/up", "status": 99}]}}`:     "status 99",
		`{"healthchecks": {"web": [{"path": "/up", "status": "fine"}]}}`: "must be a number",
	} {
		if _, err := parseAppJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
