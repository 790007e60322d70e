package proxy

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// clientSocket is a client's TCP connection that tells when it has nothing more
// to read for now: who gathers what comes hands it on then, and not after each
// piece, for waking a goroutine costs more than reading one. It has one reader.
type clientSocket struct {
	*wire
	raw syscall.RawConn

	gathers func() bool // tells whether somebody waits for what was gathered; nil: nobody ever does
	dry     func()      // hands that on
	bulk    func() bool // tells whether that can wait for a moment, for much more is to come; expired is called after it
	expired func()

	moment *time.Timer // ends the wait for much; nil: there was none
	waits  bool        // the timer is set
	much   bool        // the kernel was told to wake us for much
	little atomic.Bool // and, when the moment was over, for anything again

	read func(fd uintptr) bool // made once, so that a Read allocates nothing
	p    []byte
	n    int
	err  error
}

// newClientSocket returns w itself if it is no socket.
func newClientSocket(w *wire) net.Conn {
	t, ok := w.Conn.(*net.TCPConn)
	if !ok {
		return w
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return w
	}
	s := &clientSocket{wire: w, raw: raw}
	s.read = func(fd uintptr) bool {
		for {
			s.n, s.err = syscall.Read(int(fd), s.p)
			switch s.err {
			case syscall.EINTR:
				continue
			case syscall.EAGAIN:
				return !s.awaitMuch(int(fd)) && s.gathers() // else wait
			}
			return true
		}
	}
	return s
}

// A wait for much ends with so many bytes, or after so long.
const (
	muchBytes = 64 << 10
	muchTime  = time.Millisecond
)

// awaitMuch sees that the wait for the client that follows ends only when much has
// come, if that is worth while: it tells whether it is. The reader calls it while it
// holds the descriptor, for which a Close waits, so it takes no lock.
func (s *clientSocket) awaitMuch(fd int) bool {
	if s.little.Swap(false) {
		s.much = false
	}
	worth := s.bulk()
	if s.much != worth {
		s.much = worth
		s.wakeFor(fd, worth)
	}
	if !worth {
		return false
	}
	s.waits = true
	if s.moment == nil {
		s.moment = time.AfterFunc(muchTime, s.over)
	} else {
		s.moment.Reset(muchTime)
	}
	return true
}

// over ends the wait for much. It may come late, when that has ended: then the next
// one is for anything.
func (s *clientSocket) over() {
	_ = s.raw.Control(func(fd uintptr) { s.wakeFor(int(fd), false) })
	s.little.Store(true)
	s.expired()
}

// wakeFor tells the kernel how many bytes a wait is for. The end of what the client
// sends, an error and a full buffer end every wait.
func (s *clientSocket) wakeFor(fd int, much bool) {
	n := 1
	if much {
		n = muchBytes
	}
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n)
}

func (s *clientSocket) Read(p []byte) (int, error) {
	if s.gathers == nil || len(p) == 0 {
		return s.Conn.Read(p)
	}
	s.p = p
	err := s.raw.Read(s.read)
	for err == nil && s.err == syscall.EAGAIN {
		// Not within raw.Read: a Close waits for that, and may hold the lock that dry needs.
		s.dry()
		err = s.raw.Read(s.read)
	}
	s.p = nil
	if s.waits {
		s.waits = false
		s.moment.Stop()
	}
	switch {
	case err != nil:
		return 0, err
	case s.err != nil:
		return 0, os.NewSyscallError("read", s.err)
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}
