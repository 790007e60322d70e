package session

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// wholeInput is an input that ends with io.EOF only if its end was meant. When a user's
// connection dies, sshd closes all that leads to it, and what was sent so far would pass
// for the whole: half a dump, half an archive.
type wholeInput struct {
	in, out *os.File
}

var errGone = errors.New("the connection is gone")

func (w wholeInput) Read(p []byte) (int, error) {
	n, err := w.in.Read(p)
	if err == io.EOF && readerGone(w.out) {
		err = errGone
	}
	return n, err
}

// goneDelay is by how much sshd may close the way back later than the way in, where the
// two are pipes. Where they are one socket both end at once.
const goneDelay = 150 * time.Millisecond

// readerGone tells whether nobody can read what is written to out any more.
func readerGone(out *os.File) bool {
	info, err := out.Stat()
	if err != nil {
		return true
	}
	wait := time.Duration(0)
	switch {
	case info.Mode()&os.ModeNamedPipe != 0:
		wait = goneDelay
	case info.Mode()&os.ModeSocket == 0:
		return false // a file or a terminal
	}
	for end := time.Now().Add(wait); ; {
		fds := []unix.PollFd{{Fd: int32(out.Fd())}}
		n, err := unix.Poll(fds, int(max(0, time.Until(end)).Milliseconds()))
		if err != unix.EINTR {
			return err == nil && n > 0
		}
	}
}
