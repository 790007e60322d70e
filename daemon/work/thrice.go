package work

import (
	"context"
	"time"

	"towline/daemon"
)

// Thrice calls f again, twice at most, if it fails for another reason than that somebody is
// away: what it is to undo would stay done.
func Thrice(ctx context.Context, f func() error) (err error) {
	for range 3 {
		if err = f(); err == nil || daemon.IsAway(err) {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return err
		}
	}
	return err
}
