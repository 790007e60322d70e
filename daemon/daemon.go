package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"towline/daemon/work"
	"towline/plugins"
)

// Options are what a Daemon is made of. Every field but Fault, Offsite and InputIdle is required.
type Options struct {
	Name   string // of the installation: begins the name of everything it makes
	Dir    string // state directory
	Domain string // apps are served below it
	Port   string // of HTTPS, where it is not the usual one
	Remote string // git remote of an app but for its name, e.g. "ssh://towline@host:22/"

	Limits Limits // of each process, one-off and release phase
	Bounds Bounds

	Store        Store
	Engine       Engine
	Builder      Builder
	Router       Router
	Repositories Repositories
	Unpacker     Unpacker
	Keys         Keys
	Logs         Logs
	Vault        Vault
	Offsite      Offsite // nil: none
	Catalog      *plugins.Catalog
	Log          *slog.Logger

	// Fault is called at every recorded step (see journal.go), for tests that
	// kill the daemon there. May be nil.
	Fault func(point string)

	// InputIdle is the longest time between two bytes of what a user sends; zero: minutes.
	InputIdle time.Duration
}

// Daemon is Towline's core. Its exported methods are what users can do; each is
// safe to call at any time from any goroutine.
type Daemon struct {
	Options
	locks      work.Locks
	ballast    work.Ballast
	supervisor supervisor
	scheduler  scheduler
	tunnels    tunnels
	sessions   sessions
	ids        ids
	offsite    chan struct{} // wakes RunOffsite
	pages      chan struct{} // wakes RunPages
	started    chan struct{} // closed once all that should run has been started, or tried
	background sync.WaitGroup
	closing    context.Context
	close      context.CancelCauseFunc
	attempts   attempts
	kinds      map[string]opKind

	// Bounds, which tests shorten.
	closeGrace, recoverPatience, startPatience, slotPatience, actionLimit time.Duration
	pauseWait                                                             time.Duration
}

// New returns a Daemon. Call Reconcile before its first use and Close after its last.
func New(o Options) *Daemon {
	d := &Daemon{Options: o, closeGrace: closeGrace, pauseWait: pauseWait,
		recoverPatience: recoverPatience, startPatience: startPatience, slotPatience: slotPatience, actionLimit: actionLimit}
	d.closing, d.close = context.WithCancelCause(context.Background())
	d.supervisor.failures = map[string]failure{}
	d.supervisor.reviving = map[string]int{}
	d.kinds = kindsByName(d.allKinds())
	d.ballast = work.Ballast(filepath.Join(d.Dir, "ballast"))
	d.started = make(chan struct{})
	d.offsite = make(chan struct{}, 1)
	d.pages = make(chan struct{}, 1)
	d.scheduler = scheduler{running: map[string]bool{}, wake: make(chan struct{}, 1)}
	return d
}

// errClosing is the cause of work that was cut short by Close.
var errClosing = Errorf(Unavailable, "towlined is shutting down").
	WithHint("nothing was changed; try again in a moment")

// Close stops background work and waits for it. What it cuts short is in the
// journal, for the next Reconcile.
func (d *Daemon) Close() {
	d.close(errClosing)
	d.background.Wait()
}

// detach returns a context that outlives the caller's but not the daemon: started
// work goes on when the user hangs up.
func (d *Daemon) detach(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(d.closing, func() { cancel(context.Cause(d.closing)) })
	return ctx, func() { stop(); cancel(nil) }
}

// closeGrace is how long the end of an operation may go on once the daemon is to close.
// What is not done by then is in the journal.
const closeGrace = 10 * time.Second

// linger returns a context that outlives the caller's, and the daemon's by a little.
func (d *Daemon) linger(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(d.closing, func() {
		timer := time.AfterFunc(d.closeGrace, func() { cancel(errClosing) })
		context.AfterFunc(ctx, func() { timer.Stop() })
	})
	return ctx, func() { stop(); cancel(nil) }
}

// outlast calls f, which ends an operation or goes back to what was before it, until
// neither Podman nor the proxy is away. Given up half done, the operation would stay so
// until the next start, which is when the journal is read; and by then others may have
// built on what it is to take back. The caller holds the subject's lock meanwhile.
func (d *Daemon) outlast(ctx context.Context, out io.Writer, f func(context.Context) error) error {
	ctx, cancel := d.linger(ctx)
	defer cancel()
	told := false
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := try("the end of an operation", func() error { return f(ctx) })
		if !isAway(err) || d.closing.Err() != nil {
			return err
		}
		if wait > time.Second && !told {
			told = true
			work.Say(out, " !     Podman or the proxy is away; this ends as soon as it is back")
		}
		d.Log.Warn("half done while Podman or the proxy is away; trying again", "err", err, "in", wait)
		select {
		case <-time.After(wait):
		case <-d.closing.Done():
			return err
		}
	}
}

// isAway tells whether any of the errors in err says that Podman or the proxy is away.
func isAway(err error) bool {
	if e, ok := err.(*Error); ok && e.Kind == Unavailable {
		return true
	}
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		return isAway(x.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(x.Unwrap(), isAway)
	}
	return false
}

// goBackground runs f under a context that ends with the daemon. A panic ends f alone.
func (d *Daemon) goBackground(f func(ctx context.Context)) {
	d.background.Add(1)
	go func() {
		defer d.background.Done()
		defer Contain("background work", nil)
		f(d.closing)
	}()
}

// networkName is that of an app's own network.
func (d *Daemon) networkName(app string) string { return d.Name + "-" + app }

// imageName is what a release's image is called in the engine.
func (d *Daemon) imageName(app, tag string) string {
	return "localhost/" + d.Name + "/" + app + ":" + tag
}

func (d *Daemon) workDir(id string) string { return filepath.Join(d.Dir, "work", id) }

// Read runs one query in a transaction of its own.
func Read[T any](ctx context.Context, s Store, f func(Tx) (T, error)) (T, error) {
	var v T
	err := s.View(ctx, func(tx Tx) (err error) {
		v, err = f(tx)
		return err
	})
	return v, err
}

func isKind(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
