package apps

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"towline/daemon"
)

// codes are HTTP status codes: one, or a list of them.
type codes []int

func (c *codes) UnmarshalJSON(text []byte) error {
	var one int
	if json.Unmarshal(text, &one) == nil {
		*c = codes{one}
	} else if err := json.Unmarshal(text, (*[]int)(c)); err != nil {
		return errors.New("status must be a number or a list of numbers")
	}
	for _, code := range *c {
		if code < 200 || code > 599 {
			return fmt.Errorf("status %d is none that an answer can have: 200 to 599", code)
		}
	}
	return nil
}

// healthCheck is an element of healthchecks.web in an app.json, in the form that
// Dokku has; times are in seconds.
type healthCheck struct {
	Type         string  `json:"type"`
	Path         string  `json:"path"`
	Status       codes   `json:"status"`
	Timeout      float64 `json:"timeout"`      // of one probe
	InitialDelay float64 `json:"initialDelay"` // before the first
	Wait         float64 `json:"wait"`         // between them
	Attempts     float64 `json:"attempts"`
}

const (
	bootTime    = time.Minute // to become ready, as on Heroku
	maxBootTime = time.Hour
)

// parseAppJSON reads the health checks of an app.json: the first startup check of
// the web process.
func parseAppJSON(text []byte) (daemon.Health, error) {
	var manifest struct {
		Healthchecks map[string][]healthCheck `json:"healthchecks"`
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return daemon.Health{}, daemon.Errorf(daemon.Invalid, "app.json is not valid: %v", err)
	}
	for _, c := range manifest.Healthchecks["web"] {
		if c.Type != "" && c.Type != "startup" {
			continue
		}
		h, err := c.health()
		if err != nil {
			return daemon.Health{}, daemon.Errorf(daemon.Invalid, "app.json: %w", err)
		}
		return h, nil
	}
	return daemon.Health{}, nil
}

// health is what the proxy is told. It probes many times a second whatever the
// check says of delays: these only tell how long a process may take to become ready.
func (c healthCheck) health() (daemon.Health, error) {
	if c.Path != "" && c.Path[0] != '/' {
		return daemon.Health{}, fmt.Errorf("health check path %q does not begin with a slash", daemon.Clip(c.Path))
	}
	if strings.ContainsFunc(c.Path, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }) {
		return daemon.Health{}, fmt.Errorf("health check path %q has a character that a URL can't have; write it as %%XX", daemon.Clip(c.Path))
	}
	for name, value := range map[string]float64{"timeout": c.Timeout, "initialDelay": c.InitialDelay, "wait": c.Wait, "attempts": c.Attempts} {
		if value < 0 || value > maxBootTime.Seconds() {
			return daemon.Health{}, fmt.Errorf("health check %s %v is not between 0 and %v", name, value, maxBootTime.Seconds())
		}
	}
	h := daemon.Health{Path: c.Path, Status: c.Status, Timeout: seconds(c.Timeout)}
	// Three attempts, five seconds: what Dokku takes when nothing is said.
	boot := seconds(c.InitialDelay + cmp.Or(c.Attempts, 3)*(cmp.Or(c.Wait, 5)+cmp.Or(c.Timeout, 5)))
	if boot > maxBootTime {
		return daemon.Health{}, fmt.Errorf("health check: attempts, wait and timeout come to %s; at most %s", boot, maxBootTime)
	}
	if boot > bootTime {
		h.Deadline = boot
	}
	return h, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
