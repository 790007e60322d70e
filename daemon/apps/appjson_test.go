package apps

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

func TestParseAppJSON(t *testing.T) {
	for text, want := range map[string]daemon.Health{
		`{}`: {},
		`{"healthchecks": {"worker": [{"path": "/up"}]}}`:                                                    {},
		`{"healthchecks": {"web": [{"type": "liveness", "path": "/a"}, {"type": "startup", "path": "/b"}]}}`: {Path: "/b"},
		`{"healthchecks": {"web": [{"path": "/up", "timeout": 1.5, "status": 204}]}}`:                        {Path: "/up", Timeout: 1500 * time.Millisecond, Status: []int{204}},
		`{"healthchecks": {"web": [{"path": "/up", "status": [200, 401]}]}}`:                                 {Path: "/up", Status: []int{200, 401}},
		// Seconds to become ready count when they are more than a minute.
		`{"healthchecks": {"web": [{"path": "/up", "attempts": 3, "wait": 5, "timeout": 5}]}}`:                      {Path: "/up", Timeout: 5 * time.Second},
		`{"healthchecks": {"web": [{"path": "/up", "attempts": 20, "wait": 7, "timeout": 3, "initialDelay": 10}]}}`: {Path: "/up", Timeout: 3 * time.Second, Deadline: 210 * time.Second},
		`{"healthchecks": {"web": [{"attempts": 20}]}}`:                                                             {Deadline: 200 * time.Second},
	} {
		if got, err := parseAppJSON([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		`{`: "app.json is not valid",
		`{"healthchecks": {"web": [{"path": "up"}]}}`:                    "does not begin with a slash",
		`{"healthchecks": {"web": [{"path": "/up now"}]}}`:               "can't have",
		`{"healthchecks": {"web": [{"path": "/up\r\nHost: x"}]}}`:        "can't have",
		`{"healthchecks": {"web": [{"timeout": -1}]}}`:                   "timeout -1 is not between",
		`{"healthchecks": {"web": [{"timeout": 1e300}]}}`:                "is not between",
		`{"healthchecks": {"web": [{"attempts": 400, "wait": 10}]}}`:     "at most 1h",
		`{"healthchecks": {"web": [{"path": "/up", "status": 99}]}}`:     "status 99",
		`{"healthchecks": {"web": [{"path": "/up", "status": "fine"}]}}`: "must be a number",
	} {
		if _, err := parseAppJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
