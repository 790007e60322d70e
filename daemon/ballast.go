package daemon

import (
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ballastSize is what is set aside on the disk of the database, in bytes, so that on
// a full one there is room for recording how things ended.
const ballastSize = 4 << 20

func (d *Daemon) ballast() string { return filepath.Join(d.Dir, "ballast") }

// setBallast sets aside what it can: on a full disk it is for next time.
func (d *Daemon) setBallast() {
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_ = syscall.Fallocate(int(f.Fd()), 0, 0, ballastSize)
}

// insist tries what must be recorded again for a while: on a full disk there is the
// ballast to drop, and what has been removed may be free only some seconds later.
func (d *Daemon) insist(f func() error) (err error) {
	for range 40 {
		if err = f(); err == nil || d.closing.Err() != nil {
			break
		}
		_ = os.Remove(d.ballast())
		select {
		case <-time.After(500 * time.Millisecond):
		case <-d.closing.Done():
		}
	}
	d.setBallast()
	return err
}
