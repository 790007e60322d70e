// Package watchdog tells systemd that a program is alive.
package watchdog

import (
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Start tells systemd so twice in the unit's WatchdogSec, until stop is called, as often as
// it may be. Without systemd, or a watchdog in the unit, it does nothing. See sd_notify(3).
func Start() (stop func()) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(interval / 2)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			case <-done:
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(done) })
}
