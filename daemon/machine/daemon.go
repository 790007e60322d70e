package machine

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"towline/daemon"
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

	Limits daemon.Limits // of each process, one-off and release phase
	Bounds Bounds

	Store        daemon.Store
	Engine       daemon.Engine
	Builder      daemon.Builder
	Router       daemon.Router
	Repositories daemon.Repositories
	Unpacker     daemon.Unpacker
	Keys         daemon.Keys
	Logs         daemon.Logs
	Vault        daemon.Vault
	Offsite      daemon.Offsite // nil: none
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
	Locks      *work.Locks
	Ballast    work.Ballast
	crashes    crashes
	supervisor supervisor
	scheduler  scheduler
	tunnels    tunnels
	sessions   sessions
	onChange   []func(context.Context) // called when rights have changed
	ids        ids
	offsite    chan struct{} // wakes RunOffsite
	pages      chan struct{} // wakes RunPages
	started    chan struct{} // closed once all that should run has been started, or tried
	background sync.WaitGroup
	end        context.Context
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
	d.end, d.close = context.WithCancelCause(context.Background())
	d.Locks = &work.Locks{}
	d.crashes.failures = map[string]failure{}
	d.supervisor.reviving = map[string]int{}
	d.kinds = kindsByName(d.allKinds())
	d.Ballast = work.Ballast(filepath.Join(d.Dir, "ballast"))
	d.onChange = append(d.onChange, d.endForbiddenPages)
	d.started = make(chan struct{})
	d.offsite = make(chan struct{}, 1)
	d.pages = make(chan struct{}, 1)
	d.scheduler = scheduler{running: map[string]bool{}, wake: make(chan struct{}, 1)}
	return d
}

// Close stops background work and waits for it. What it cuts short is in the
// journal, for the next Reconcile.
func (d *Daemon) Close() {
	d.close(daemon.ErrClosing)
	d.background.Wait()
}

// detach returns a context that outlives the caller's but not the daemon: started
// work goes on when the user hangs up.
func (d *Daemon) detach(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(d.end, func() { cancel(context.Cause(d.end)) })
	return ctx, func() { stop(); cancel(nil) }
}

// closeGrace is how long the end of an operation may go on once the daemon is to close.
// What is not done by then is in the journal.
const closeGrace = 10 * time.Second

// linger returns a context that outlives the caller's, and the daemon's by a little.
func (d *Daemon) linger(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(d.end, func() {
		timer := time.AfterFunc(d.closeGrace, func() { cancel(daemon.ErrClosing) })
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
		err := daemon.Try("the end of an operation", func() error { return f(ctx) })
		if !daemon.IsAway(err) || d.end.Err() != nil {
			return err
		}
		if wait > time.Second && !told {
			told = true
			work.Say(out, " !     Podman or the proxy is away; this ends as soon as it is back")
		}
		d.Log.Warn("half done while Podman or the proxy is away; trying again", "err", err, "in", wait)
		select {
		case <-time.After(wait):
		case <-d.end.Done():
			return err
		}
	}
}

// goBackground runs f under a context that ends with the daemon. A panic ends f alone.
func (d *Daemon) goBackground(f func(ctx context.Context)) {
	d.background.Add(1)
	go func() {
		defer d.background.Done()
		defer daemon.Contain("background work", nil)
		f(d.end)
	}()
}

// closing is a context that ends with the daemon.
func (d *Daemon) closing() context.Context { return d.end }

// networkName is that of an app's own network.
func (d *Daemon) networkName(app string) string { return d.Name + "-" + app }

// imageName is what a release's image is called in the engine.
func (d *Daemon) imageName(app, tag string) string {
	return "localhost/" + d.Name + "/" + app + ":" + tag
}

func (d *Daemon) workDir(id string) string { return filepath.Join(d.Dir, "work", id) }
