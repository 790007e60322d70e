package machine

import (
	"context"
	"errors"
	"time"

	"towline/daemon"
)

// pauseApps has new requests of the apps attached to an add-on wait.
func (d *Daemon) pauseApps(ctx context.Context, addon string) error {
	attached, err := d.attachments(ctx, addon)
	for _, at := range attached {
		if perr := d.pauseApp(ctx, at.App); perr != nil && !daemon.IsKind(perr, daemon.NotFound) {
			err = errors.Join(err, perr)
		}
	}
	return err
}

// pauseLimit bounds how long requests wait while a service is replaced.
const pauseLimit = 2 * time.Minute

// pauseWait is how long requests in flight are waited for: they may need the service that
// is about to stop.
const pauseWait = 5 * time.Second

func (d *Daemon) pauseApp(ctx context.Context, app string) error {
	wait, cancel := context.WithTimeout(ctx, d.pauseWait)
	defer cancel()
	err := d.Router.Pause(wait, app, pauseLimit)
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	// Some are still in flight, and new ones wait; unless the proxy hangs.
	_, err = d.Router.Routes(ctx)
	return err
}

func (d *Daemon) resumeApps(ctx context.Context, addon string) error {
	attached, err := d.attachments(ctx, addon)
	for _, at := range attached {
		if rerr := d.Router.Resume(ctx, at.App); rerr != nil && !daemon.IsKind(rerr, daemon.NotFound) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}
