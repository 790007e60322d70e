package apps

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"towline/daemon"
	"towline/daemon/work"
)

// buildsUnderWay are the builds that can be cancelled, by app.
type buildsUnderWay struct {
	mu  sync.Mutex
	all map[string]underWay
}

type underWay struct {
	number int
	cancel context.CancelCauseFunc
	done   chan struct{} // closed once it is recorded how it ended
}

// begin returns the context of a build, which a cancellation ends, and a function that ends the
// time in which it can be cancelled: its error is the cancellation.
func (u *buildsUnderWay) begin(ctx context.Context, app string, number int) (context.Context, func() *cancelledError, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = map[string]underWay{}
	}
	u.all[app] = underWay{number, cancel, done}
	built := func() *cancelledError {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.all, app)
		var cancelled *cancelledError
		if c, ok := context.Cause(ctx).(*cancelledError); ok {
			cancelled = c
		}
		cancel(nil)
		return cancelled
	}
	return ctx, built, sync.OnceFunc(func() { close(done) })
}

// cancelledError is the cause of a build that somebody has cancelled.
type cancelledError struct{ by daemon.Caller }

func (e *cancelledError) Error() string {
	return "the build was cancelled by " + daemon.Who(e.by.Member)
}

func (e *cancelledError) error() *daemon.Error {
	return daemon.Errorf(daemon.Failed, "%s", e.Error()).WithHint("nothing was released; to build it again, push again")
}

// record tells of it in the transaction that ends the build. It may be nil: nobody has.
func (e *cancelledError) record(tx daemon.ActivityTx, b daemon.Build) error {
	if e == nil {
		return nil
	}
	return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: e.by.Member, Key: e.by.Key, Address: e.by.Address, Kind: daemon.BuildStopped, App: b.App,
		Subject: strconv.Itoa(b.Number), Text: fmt.Sprintf("cancelled build %d", b.Number)})
}

// builds are what is kept of how images came to be, and what goes on of it.
type builds struct {
	*base
	underWay buildsUnderWay
}

// Builds lists the newest builds of an app, newest first.
func (bs *builds) Builds(ctx context.Context, app string) ([]daemon.Build, error) {
	return daemon.Read(ctx, bs.Store, func(tx daemon.Tx) ([]daemon.Build, error) {
		if _, err := daemon.FindApp(tx, app); err != nil {
			return nil, err
		}
		return tx.Builds(app)
	})
}

// Build is one build of an app; number 0 is the newest.
func (bs *builds) Build(ctx context.Context, app string, number int) (daemon.Build, error) {
	list, err := bs.Builds(ctx, app)
	if err != nil {
		return daemon.Build{}, err
	}
	for _, b := range list {
		if number == 0 || b.Number == number {
			return b, nil
		}
	}
	if number == 0 {
		return daemon.Build{}, daemon.Errorf(daemon.NotFound, "%s was never built", app).WithHint("git push towline main")
	}
	return daemon.Build{}, daemon.Errorf(daemon.NotFound, "%s has no build %d, or no longer: the newest %d are kept", app, number, daemon.KeptBuilds).
		WithHint("towline builds -a %s", app)
}

// maxBuildLines is more than is kept of a build.
const maxBuildLines = 1_000_000

// BuildOutput sends what is kept of what a build has written.
func (bs *builds) BuildOutput(ctx context.Context, app string, number int, line func(daemon.LogLine) error) (daemon.Build, error) {
	b, err := bs.Build(ctx, app, number)
	if err != nil {
		return b, err
	}
	q := daemon.LogQuery{App: app, Source: "build", Process: buildProcess(b.Number), Lines: maxBuildLines}
	return b, bs.Logs.Read(ctx, q, line)
}

// CancelBuild ends the build of an app that is under way, as long as nothing of it is released,
// and returns it once it has ended. number 0 is whichever that is.
func (bs *builds) CancelBuild(ctx context.Context, app, member string, number int) (daemon.Build, error) {
	b, err := bs.Build(ctx, app, number)
	if err != nil {
		return b, err
	}
	bs.underWay.mu.Lock()
	u, ok := bs.underWay.all[app]
	if ok = ok && u.number == b.Number; ok {
		by := daemon.CallerOf(ctx)
		by.Member = member
		u.cancel(&cancelledError{by})
	}
	bs.underWay.mu.Unlock()
	if !ok {
		return b, daemon.Errorf(daemon.Conflict, "build %d of %s can't be cancelled: it has %s", b.Number, app, ended(b)).WithHint("towline builds -a %s", app)
	}
	select {
	case <-u.done:
	case <-ctx.Done():
		return b, context.Cause(ctx)
	}
	return bs.Build(ctx, app, b.Number)
}

// ended says how a build ended.
func ended(b daemon.Build) string {
	switch b.Status {
	case daemon.BuildRunning, daemon.BuildSucceeded:
		return "been built already"
	case daemon.BuildCancelled, daemon.BuildInterrupted:
		return "been " + string(b.Status)
	}
	return string(b.Status)
}

func buildProcess(number int) string { return fmt.Sprint("build.", number) }

// recording keeps what a build and its release show to the pusher, but for the app's secrets.
type recording struct {
	out  io.Writer // the pusher; may be nil
	keep io.WriteCloser
	warn func(error)

	mu     sync.Mutex
	line   []byte
	secret *strings.Replacer
}

// record begins to keep what is written to out. What can't be kept is no reason not to build.
func (bs *builds) record(app daemon.App, number int, out io.Writer) *recording {
	var once sync.Once
	warn := func(err error) {
		once.Do(func() { bs.Log.Error("keeping the output of a build", "app", app.Name, "err", err) })
	}
	keep, err := bs.Logs.BuildOutput(app.Name, number, daemon.KeptBuilds)
	if err != nil {
		warn(err)
		keep = nil
	}
	r := &recording{out: out, keep: keep, warn: warn}
	r.hide(app.Config)
	return r
}

// hide has the values of config vars kept by their names alone, from the next line on.
func (r *recording) hide(config map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = hiding(config)
}

// maxHeldLine bounds a line that has no end.
const maxHeldLine = 64 << 10

// Write never fails.
func (r *recording) Write(p []byte) (int, error) {
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

func (r *recording) put(text []byte) {
	if r.keep == nil || len(text) == 0 {
		return
	}
	if _, err := io.WriteString(r.keep, r.secret.Replace(string(text))); err != nil {
		r.warn(err)
	}
}

// hidden is text without the app's secrets.
func (r *recording) hidden(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.secret.Replace(text)
}

// end keeps how it ended, which the pusher is told otherwise.
func (r *recording) end(rel daemon.Release, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.line) > 0 {
		r.put(append(r.line, '\n'))
	}
	r.line = nil
	var last bytes.Buffer
	if err != nil {
		work.Warn(&last, "%s", withHint(err))
	} else {
		work.Stage(&last, "Released v%d", rel.Version)
	}
	r.put(last.Bytes())
	if r.keep == nil {
		return
	}
	if err := r.keep.Close(); err != nil {
		r.warn(err)
	}
	r.keep = nil
}

// withHint is an error with what to type next.
func withHint(err error) string {
	text := err.Error()
	var e *daemon.Error
	if errors.As(err, &e) && e.Hint != "" {
		text += "\n" + e.Hint
	}
	return text
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

// hiding replaces the values of config vars, each line of them, and the passwords of those that
// are URLs, by the names of the vars.
func hiding(config map[string]string) *strings.Replacer {
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

// ends records how a build ended, in the transaction that ends it.
func ends(b daemon.Build, status daemon.BuildStatus, why string) func(daemon.Tx) error {
	b.Status, b.Finished, b.Error = status, daemon.Now(), why
	return func(tx daemon.Tx) error { return tx.UpdateBuild(b) }
}

// interrupted records that the builds of an app which run were cut short.
func interrupted(tx daemon.Tx, app string) error {
	list, err := tx.Builds(app)
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.Status != daemon.BuildRunning {
			continue
		}
		if err := ends(b, daemon.BuildInterrupted, "Towline was stopped")(tx); err != nil {
			return err
		}
	}
	return nil
}

// Took is how long a build ran, or runs.
func Took(b daemon.Build) time.Duration {
	end := b.Finished
	if end.IsZero() {
		end = time.Now()
	}
	return end.Sub(b.Created)
}
