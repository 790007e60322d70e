package work

import (
	"context"
	"time"

	"towline/daemon"
)

// Thrice calls f again, twice at most, if it fails for another reason than that somebody is
// away: what it is to undo would stay done.
func Thrice(ctx context.Context, f func() error) (err error) {
	for try := 1; ; try++ {
		if err = f(); err == nil || daemon.IsAway(err) || try == 3 {
			return err
		}
		if !pause(ctx, time.Second) {
			return err
		}
	}
}

// longestWait is the last of UntilDone's.
const longestWait = 5 * time.Minute

// UntilDone calls f, and again after longer and longer waits, until it succeeds, or ctx ends:
// then it is false, and the journal has what is left. failed is told why, and when f is called
// again. A panic of f, which is named what, is a failure like another.
func UntilDone(ctx context.Context, what string, f func() error, failed func(err error, again time.Duration)) bool {
	for wait := time.Second; ; wait = min(2*wait, longestWait) {
		err := daemon.Try(what, f)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		failed(err, wait)
		if !pause(ctx, wait) {
			return false
		}
	}
}

// pause is false if ctx ends before it is over.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
