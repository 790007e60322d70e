package apps

import (
	"bytes"
	"cmp"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"towline/daemon"
	"towline/daemon/work"
)

// Recording keeps what a build and its release, or a test run, show to the pusher, but for secrets.
type Recording struct {
	out  io.Writer // the pusher; may be nil
	keep io.WriteCloser
	warn func(error)

	mu     sync.Mutex
	line   []byte
	secret *strings.Replacer
}

// record begins to keep what is written to out. What can't be kept is no reason not to build.
func (bs *builds) record(app daemon.App, number int, out io.Writer) *Recording {
	r := NewRecording(bs.Logs, bs.Log, app.Name, "build", number, daemon.KeptBuilds, out)
	r.Hide(app.Config)
	return r
}

// NewRecording begins to keep what is written to out by an app's build or test run: see
// daemon.Logs. What can't be kept is no error.
func NewRecording(logs daemon.Logs, log *slog.Logger, app, of string, number, most int, out io.Writer) *Recording {
	var once sync.Once
	warn := func(err error) {
		once.Do(func() { log.Error("keeping the output of a "+of, "app", app, "err", err) })
	}
	keep, err := logs.KeepOutput(app, of, number, most)
	if err != nil {
		warn(err)
		keep = nil
	}
	return &Recording{out: out, keep: keep, warn: warn, secret: strings.NewReplacer()}
}

// Hide has the values of config vars kept by their names alone, from the next line on.
func (r *Recording) Hide(config map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = Hiding(config)
}

// maxHeldLine bounds a line that has no end.
const maxHeldLine = 64 << 10

// Write never fails.
func (r *Recording) Write(p []byte) (int, error) {
	if r.out != nil {
		_, _ = r.out.Write(p) // a pusher who hung up is no error
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line = append(r.line, p...)
	end := bytes.LastIndexByte(r.line, '\n') + 1
	if end == 0 && len(r.line) > maxHeldLine {
		end = len(r.line)
	}
	r.put(r.line[:end])
	r.line = append(r.line[:0], r.line[end:]...)
	return len(p), nil
}

func (r *Recording) put(text []byte) {
	if r.keep == nil || len(text) == 0 {
		return
	}
	if _, err := io.WriteString(r.keep, r.secret.Replace(string(text))); err != nil {
		r.warn(err)
	}
}

// Hidden is text without the app's secrets.
func (r *Recording) Hidden(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.secret.Replace(text)
}

// end keeps how it ended, which the pusher is told otherwise.
func (r *Recording) end(rel daemon.Release, err error) {
	var last bytes.Buffer
	if err != nil {
		work.Warn(&last, "%s", work.WithHint(err))
	} else {
		work.Stage(&last, "Released v%d", rel.Version)
	}
	r.End(last.String())
}

// End keeps these last lines, and no more.
func (r *Recording) End(last string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.line) > 0 {
		r.put(append(r.line, '\n'))
	}
	r.line = nil
	r.put([]byte(last))
	if r.keep == nil {
		return
	}
	if err := r.keep.Close(); err != nil {
		r.warn(err)
	}
	r.keep = nil
}

// minSecret is how long a value is that is no word of every build: "true", say, or "3000".
const minSecret = 6

// usual are values that say nothing of whoever has them, though they are long enough.
var usual = []string{
	"production", "development", "staging", "testing", "enabled", "disabled", "default", "localhost", "127.0.0.1", "0.0.0.0",
	"warning", "verbose", "stdout", "stderr", "public", "private", "c.utf-8", "en_us.utf-8",
}

// secretName is a word in the name of a config var that makes a secret of any value.
var secretName = regexp.MustCompile(`(?i)key|secret|token|pass|pwd|auth|cred`)

// Hiding replaces the values of config vars, each line of them, and the passwords of those that
// are URLs, by the names of the vars.
func Hiding(config map[string]string) *strings.Replacer {
	type pair struct{ value, name string }
	var pairs []pair
	for _, name := range daemon.SortedKeys(config) {
		value := config[name]
		parts := append([]string{value}, strings.Split(value, "\n")...)
		if u, err := url.Parse(value); err == nil && u.User != nil {
			password, _ := u.User.Password()
			parts = append(parts, password, url.QueryEscape(password))
		}
		for _, part := range parts {
			part = strings.TrimSpace(part)
			if len(part) >= minSecret && (secretName.MatchString(name) || !slices.Contains(usual, strings.ToLower(part))) {
				pairs = append(pairs, pair{part, "[" + name + "]"})
			}
		}
	}
	// The longest first: one may be a part of another.
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(len(b.value), len(a.value)) })
	var words []string
	for _, p := range pairs {
		words = append(words, p.value, p.name)
	}
	return strings.NewReplacer(words...)
}
