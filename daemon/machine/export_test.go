package machine

import (
	"context"
	"time"
)

// SetCloseGrace shortens what a daemon that closes waits for.
func (d *Daemon) SetCloseGrace(grace time.Duration) { d.Life.SetGrace(grace) }

// SetPauseWait shortens how long requests in flight are waited for.
func (d *Daemon) SetPauseWait(wait time.Duration) { d.pauseWait = wait }

// SetPatience shortens what a start waits for one app or add-on.
func (d *Daemon) SetPatience(patience time.Duration) {
	d.recoverPatience, d.startPatience, d.slotPatience = patience, patience, patience
}

// SetActionLimit shortens what a command in an add-on's container may take.
func (d *Daemon) SetActionLimit(limit time.Duration) { d.actionLimit = limit }

// CompleteSecrets is what a start does for add-ons of earlier manifests.
func (d *Daemon) CompleteSecrets(ctx context.Context) error { return d.completeSecrets(ctx) }
