package work

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"towline/daemon"
)

// Life is that of the daemon: what goes on in the background, and until when.
type Life struct {
	log        *slog.Logger
	end        context.Context
	close      context.CancelCauseFunc
	background sync.WaitGroup
	grace      time.Duration

	mu     sync.Mutex
	closed bool // nothing begins in the background any more
}

// NewLife returns one that goes on until its Close.
func NewLife(log *slog.Logger) *Life {
	l := &Life{log: log, grace: closeGrace}
	l.end, l.close = context.WithCancelCause(context.Background())
	return l
}

// Close stops background work and waits for it. What it cuts short is in the journal, for the
// next start.
func (l *Life) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.close(daemon.ErrClosing)
	l.background.Wait()
}

// SetGrace changes for how long the end of an operation may outlast Close.
func (l *Life) SetGrace(grace time.Duration) { l.grace = grace }

// Detach returns a context that outlives the caller's but not the daemon: started
// work goes on when the user hangs up.
func (l *Life) Detach(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(l.end, func() { cancel(context.Cause(l.end)) })
	return ctx, func() { stop(); cancel(nil) }
}

// closeGrace is how long the end of an operation may go on once the daemon is to close.
// What is not done by then is in the journal.
const closeGrace = 10 * time.Second

// linger returns a context that outlives the caller's, and the daemon's by a little.
func (l *Life) linger(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(l.end, func() {
		timer := time.AfterFunc(l.grace, func() { cancel(daemon.ErrClosing) })
		context.AfterFunc(ctx, func() { timer.Stop() })
	})
	return ctx, func() { stop(); cancel(nil) }
}

// Outlast calls f, which ends an operation or goes back to what was before it, until
// neither Podman nor the proxy is away. Given up half done, the operation would stay so
// until the next start, which is when the journal is read; and by then others may have
// built on what it is to take back. The caller holds the subject's lock meanwhile.
func (l *Life) Outlast(ctx context.Context, out io.Writer, f func(context.Context) error) error {
	ctx, cancel := l.linger(ctx)
	defer cancel()
	told := false
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := daemon.Try("the end of an operation", func() error { return f(ctx) })
		if !daemon.IsAway(err) || l.end.Err() != nil {
			return err
		}
		if wait > time.Second && !told {
			told = true
			Say(out, " !     Podman or the proxy is away; this ends as soon as it is back")
		}
		l.log.Warn("half done while Podman or the proxy is away; trying again", "err", err, "in", wait)
		select {
		case <-time.After(wait):
		case <-l.end.Done():
			return err
		}
	}
}

// Go runs f under a context that ends with the daemon, or not at all once that is closing:
// what f has to do is in the journal, for the next start. A panic ends f alone.
func (l *Life) Go(f func(ctx context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.background.Add(1)
	go func() {
		defer l.background.Done()
		defer daemon.Contain("background work", nil)
		f(l.end)
	}()
}

// Closing is a context that ends with the daemon.
func (l *Life) Closing() context.Context { return l.end }
