package proxy

import (
	"io"
	"net"
	"os"
	"syscall"
)

// clientSocket is a client's TCP connection that tells when it has nothing more
// to read for now: who gathers what comes hands it on then, and not after each
// piece, for waking a goroutine costs more than reading one. It has one reader.
type clientSocket struct {
	*wire
	raw syscall.RawConn

	gathers func() bool // tells whether somebody waits for what was gathered; nil: nobody ever does
	dry     func()      // hands that on

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
				return s.gathers() // else wait
			}
			return true
		}
	}
	return s
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
