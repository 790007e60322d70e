package work

import (
	"context"
	"os"
	"syscall"
	"time"
)

// ballastSize is what is set aside, in bytes.
const ballastSize = 4 << 20

// Ballast is a file that takes up room on the disk of the database, so that on a full one
// there is room for recording how things ended. Its value is the file's path.
type Ballast string

// Set sets aside what it can: on a full disk it is for next time.
func (b Ballast) Set() {
	f, err := os.OpenFile(string(b), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_ = syscall.Fallocate(int(f.Fd()), 0, 0, ballastSize)
}

// Insist tries what must be recorded again for a while, until ctx ends: on a full disk there
// is the ballast to drop, and what has been removed may be free only some seconds later.
func (b Ballast) Insist(ctx context.Context, f func() error) (err error) {
	for range 40 {
		if err = f(); err == nil || ctx.Err() != nil {
			break
		}
		_ = os.Remove(string(b))
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	b.Set()
	return err
}
