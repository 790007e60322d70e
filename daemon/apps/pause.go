package apps

import (
	"context"
	"errors"
	"time"
)

// pauseLimit bounds how long requests wait while a service is replaced.
const pauseLimit = 2 * time.Minute

// pauseWait is how long requests in flight are waited for: they may need the service that
// is about to stop.
const pauseWait = 5 * time.Second

func (rs *Routes) PauseApp(ctx context.Context, app string) error {
	wait, cancel := context.WithTimeout(ctx, rs.pauseWait)
	defer cancel()
	err := rs.Router.Pause(wait, app, pauseLimit)
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	// Some are still in flight, and new ones wait; unless the proxy hangs.
	_, err = rs.Router.Routes(ctx)
	return err
}

// SetPauseWait changes how long requests in flight are waited for.
func (rs *Routes) SetPauseWait(wait time.Duration) { rs.pauseWait = wait }
