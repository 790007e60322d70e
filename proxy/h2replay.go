package proxy

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// h2Kept bounds how much of a request body is kept, in bytes, until the answer
// begins: a target that says good-bye without having processed the request lets
// it be sent again.
const h2Kept = 64 << 10

var errNotKept = errors.New("the request cannot be sent again: its body was not kept")

// replay is the body of a request to a target that speaks HTTP/2. It is read by
// goroutines of the transport, one for each time that the request is sent. It
// belongs to one exchange: once stop has returned, nobody reads src any more.
type replay struct {
	src   requestBody // nil: there is no body
	max   int64       // bytes; 0: no bound
	watch *watch
	// patient: the client may say nothing for as long as the target goes on, as
	// in a gRPC stream. gone tells whether the client is there at all.
	patient bool
	gone    func() bool

	answered, stopped, ended atomic.Bool

	mu   sync.Mutex // held while src is read
	kept []byte
	lost bool // kept is not all that was read
	got  int64
	err  error // io.EOF: all was read; else what was wrong with it
}

func (x *exchange) newReplay() *replay {
	return &replay{
		src: x.body, max: x.service.spec.Options.MaxBody, gone: x.cut.gone,
		patient: x.protocol == "h2" && x.req.Length < 0,
		watch:   &watch{response: x.service.responseTimeout, idle: x.service.idleTimeout},
	}
}

// begun tells whether some of the body was read.
func (b *replay) begun() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got > 0 || b.err != nil
}

// again returns the body from its beginning.
func (b *replay) again() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost {
		return nil, errNotKept
	}
	return &replayReader{b: b}, nil
}

// answering notes that nobody will want the beginning again.
func (b *replay) answering() { b.answered.Store(true) }

// stop waits until nobody reads src. finished tells whether all of the body was
// read before, err what was wrong with it.
func (b *replay) stop() (finished bool, err error) {
	if b == nil || b.src == nil {
		return true, nil
	}
	b.stopped.Store(true)
	early := !b.ended.Load()
	if early {
		b.src.Cancel()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF {
		return !early, nil
	}
	return false, b.err
}

// total is how many bytes of the body were read; look at it after stop.
func (b *replay) total() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got
}

// read reads from src. It holds mu.
func (b *replay) read(p []byte) (n int, err error) {
	for {
		if b.stopped.Load() {
			return 0, errDied
		}
		n, err = b.src.Read(p)
		silent := n == 0 && err != io.EOF && b.patient && !b.gone()
		if !silent {
			break
		}
	}
	if b.stopped.Load() {
		return 0, errDied
	}
	if b.got += int64(n); b.max > 0 && b.got > b.max {
		n, err = 0, errTooBig
	}
	if b.lost = b.lost || b.answered.Load() || len(b.kept)+n > h2Kept; b.lost {
		b.kept = nil
	} else {
		b.kept = append(b.kept, p[:n]...)
	}
	if err != nil {
		b.err = err
		b.ended.Store(true)
	}
	if err == io.EOF {
		b.watch.asked()
	} else {
		b.watch.uploaded()
	}
	return n, err
}

// replayReader is the body as one of the goroutines reads it.
type replayReader struct {
	b      *replay
	at     int64
	closed atomic.Bool
}

func (r *replayReader) Read(p []byte) (int, error) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case r.closed.Load():
		return 0, errDied
	case r.at < b.got && b.lost:
		return 0, errNotKept
	case r.at < b.got:
		n := copy(p, b.kept[r.at:])
		r.at += int64(n)
		return n, nil
	case b.err != nil:
		return 0, b.err
	}
	n, err := b.read(p)
	r.at = b.got
	return n, err
}

// Close does not wait for a Read: what that one gets is kept for the next reader.
func (r *replayReader) Close() error {
	r.closed.Store(true)
	return nil
}
