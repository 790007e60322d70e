package daemon

import "time"

// SetCloseGrace shortens what a daemon that closes waits for.
func (d *Daemon) SetCloseGrace(grace time.Duration) { d.closeGrace = grace }
