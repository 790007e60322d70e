package appjson

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"towline/daemon"
)

// check is an element of healthchecks.web, in the form that Dokku has; times are in seconds.
type check struct {
	kind         string
	path         string
	content      string
	status       []int
	timeout      float64 // of one probe
	initialDelay float64 // before the first
	wait         float64 // between them
	attempts     float64
	uptime       float64 // that a process must have run for
}

const (
	bootTime    = time.Minute // to become ready, as on Heroku
	maxBootTime = time.Hour
)

// readChecks makes one check of those that say when a web process is ready.
func (f *File) readChecks(v value) error {
	return v.each("process types with checks", func(name string, v value) error {
		list, err := v.list()
		if name != "web" && err == nil {
			v.note("web processes alone are checked; others are started again when they end")
			return nil
		}
		var startup, readiness []value
		parsed := map[int]check{}
		for _, v := range list {
			c, err := readCheck(v)
			if err != nil {
				return err
			}
			parsed[v.StartOffset] = c
			switch c.kind {
			case "", "startup":
				startup = append(startup, v)
			case "readiness":
				readiness = append(readiness, v)
			case "liveness":
				v.note("no liveness check is made: a process that ends is started again")
			default:
				return v.wrong("there is no health check of type %q but startup, readiness and liveness", daemon.Clip(c.kind))
			}
		}
		counted, others := startup, readiness
		if len(startup) == 0 {
			counted, others = readiness, nil
		}
		for _, v := range others {
			v.note("the startup check tells when a process is ready: no other is made")
		}
		for _, v := range counted {
			if err := f.addCheck(v, parsed[v.StartOffset]); err != nil {
				return err
			}
		}
		return err
	})
}

func readCheck(v value) (c check, err error) {
	number := func(name string, to *float64) func(value) error {
		return func(v value) (err error) {
			if *to, err = v.number(); err == nil && (*to < 0 || *to > maxBootTime.Seconds()) {
				err = v.wrong("health check %s %v is not between 0 and %v", name, *to, maxBootTime.Seconds())
			}
			return err
		}
	}
	text := func(to *string) func(value) error {
		return func(v value) (err error) { *to, err = v.text(); return err }
	}
	unless := func(usual string, format string) func(value) error {
		return func(v value) error {
			if text, _ := v.scalar(); text != usual {
				v.note("%s", format)
			}
			return nil
		}
	}
	if v.kind() != '{' {
		return c, v.wrong("a health check is an object, like {\"path\": \"/up\"}")
	}
	err = v.object(fields{
		"name": nil, "description": nil, "listening": nil, // an answer by HTTP takes that it listens
		"type": text(&c.kind), "path": text(&c.path), "content": text(&c.content),
		"timeout": number("timeout", &c.timeout), "initialDelay": number("initialDelay", &c.initialDelay),
		"wait": number("wait", &c.wait), "attempts": number("attempts", &c.attempts), "uptime": number("uptime", &c.uptime),
		"status": func(v value) error { return v.codes(&c.status) },
		"scheme": unless("http", "processes are asked by HTTP: the proxy is what speaks TLS"),
		"port":   unless("5000", "the port asked is the web process's own, $PORT"),
		"warn":   unless("false", "a check that fails is never only a warning"),
		"command": func(v value) error {
			return v.wrong("a health check by a command is not made").
				WithHint("give it a path that answers 200 once the process is ready: {\"type\": \"startup\", \"path\": \"/up\"}")
		},
		"httpHeaders": func(v value) error {
			v.note("the headers sent are a visitor's: the app's own host, and X-Forwarded-Proto: https")
			return nil
		},
		"onFailure": func(v value) error { v.note("what a failed check leads to is that the push is refused"); return nil },
	})
	switch {
	case err != nil:
	case c.path != "" && c.path[0] != '/':
		err = v.wrong("health check path %q does not begin with a slash", daemon.Clip(c.path))
	case strings.ContainsFunc(c.path, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }):
		err = v.wrong("health check path %q has a character that a URL can't have; write it as %%XX", daemon.Clip(c.path))
	case len(c.path) > maxPath || len(c.content) > maxPath:
		err = v.wrong("a health check's path and content are at most %d bytes long", maxPath)
	}
	return c, err
}

const maxPath = 4096 // bytes; the proxy keeps it with each route

// codes are HTTP status codes: one, or a list of them.
func (v value) codes(to *[]int) error {
	list := []value{v}
	if v.kind() == '[' {
		list, _ = v.list()
	}
	for _, v := range list {
		n, err := v.number()
		switch {
		case err != nil || n != float64(int(n)):
			return v.wrong("status must be a number or a list of numbers")
		case n < 200 || n > 599:
			return v.wrong("status %v is none that an answer can have: 200 to 599", n)
		}
		*to = append(*to, int(n))
	}
	return nil
}

// addCheck joins a check with those before it. The proxy probes many times a second whatever the
// check says of delays: these only tell how long a process may take to become ready.
func (f *File) addCheck(v value, c check) error {
	h := &f.Health
	asks := c.path != "" || c.content != "" || len(c.status) > 0
	// Three attempts, five seconds: what Dokku takes when nothing is said.
	boot := seconds(c.initialDelay + cmp.Or(c.attempts, 3)*(cmp.Or(c.wait, 5)+cmp.Or(c.timeout, 5)))
	if boot > maxBootTime {
		return v.wrong("health check: attempts, wait and timeout come to %s; at most %s", boot, maxBootTime)
	}
	// One that says of its time has all of it, whatever the app answers meanwhile.
	if boot > bootTime || c.initialDelay > 0 || c.attempts > 0 || c.wait > 0 {
		h.Deadline = max(h.Deadline, boot, bootTime)
	}
	h.Uptime = max(h.Uptime, seconds(c.uptime))
	if h.Path != "" && asks {
		v.note("one path is asked, that of the first check")
		return nil
	}
	h.Timeout = max(h.Timeout, seconds(c.timeout))
	if asks {
		h.Path, h.Content, h.Status = c.path, c.content, slices.Clone(c.status)
	}
	if h.Path == "" && (h.Content != "" || len(h.Status) > 0) {
		h.Path = "/" // without one any answer is right
	}
	return nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
