package machine

import (
	"context"
	"time"
)

// SetCloseGrace shortens what a daemon that closes waits for.
func (d *Machine) SetCloseGrace(grace time.Duration) { d.Life.SetGrace(grace) }

// SetPauseWait shortens how long requests in flight are waited for.
func (d *Machine) SetPauseWait(wait time.Duration) { d.Routes.SetPauseWait(wait) }

// SetPatience shortens what a start waits for one app or add-on.
func (d *Machine) SetPatience(patience time.Duration) {
	d.recoverPatience, d.startPatience, d.slotPatience = patience, patience, patience
}

// SetActionLimit shortens what a command in an add-on's container may take.
func (d *Machine) SetActionLimit(limit time.Duration) { d.Services.SetActionLimit(limit) }

// CompleteSecrets is what a start does for add-ons of earlier manifests.
func (d *Machine) CompleteSecrets(ctx context.Context) error { return d.Plugins.CompleteSecrets(ctx) }
