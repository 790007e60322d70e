package proxy

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"towline/proxy/message"
)

// upload sends a request body that has not all arrived, while the answer is
// read elsewhere: a target may answer before it has read everything, and both
// directions may stream.
type upload struct {
	x      *exchange
	c      *upstream
	begun  atomic.Bool  // the answer has begun
	read   atomic.Bool  // all of the body has come from the client
	sent   atomic.Int64 // when all was sent to the target, Unix time in nanoseconds; 0: not yet
	total  int64        // bytes of the body that were read; look at it after stop
	result chan error
}

// startUpload copies the body to c in a goroutine of its own; stop must follow.
func (x *exchange) startUpload(c *upstream) *upload {
	u := &upload{x: x, c: c, result: make(chan error, 1)}
	// While the body is under way the client's pace counts, not the target's.
	c.read = deadline{}
	_ = c.SetReadDeadline(time.Time{})
	go func() {
		// After a panic the target must not take what it got for the whole, and stop waits.
		defer x.p.guard("upload", func() {
			c.Conn.Close()
			u.result <- errClient
		})
		err := u.copy()
		if err == nil && !u.begun.Load() {
			now := time.Now()
			u.sent.Store(now.UnixNano())
			_ = c.SetReadDeadline(now.Add(min(patience, x.service.responseTimeout)))
		}
		if err != nil && err != errDied && err != errFinal {
			// The target must not take what it got for the whole.
			c.Conn.Close()
		}
		u.result <- err
	}()
	return u
}

// answering says that the answer has begun, and returns whether that was before all of
// the body was read: whether it will be nobody knows.
func (u *upload) answering() (early bool) {
	if u == nil {
		return false
	}
	u.begun.Store(true)
	return !u.read.Load()
}

// waiting is since when the target is waited for alone.
func (u *upload) waiting(began time.Time) time.Time {
	if u == nil {
		return began
	}
	if sent := u.sent.Load(); sent != 0 {
		return time.Unix(0, sent)
	}
	return time.Now()
}

// stop waits for the copying to end, cutting it short if need be. finished
// tells whether the whole body was sent.
func (u *upload) stop() (finished bool, err error) {
	// The answer can overtake the return of the last write.
	grace := time.NewTimer(50 * time.Millisecond)
	defer grace.Stop()
	select {
	case err = <-u.result:
	case <-grace.C:
		u.c.Conn.Close()
		u.x.body.Cancel()
		err = <-u.result
	}
	return err == nil, err
}

// copy returns nil, errDied (the target takes no more), errClient, errTooBig,
// ErrBadFraming or errFinal (the answer came before the client was told to send).
func (u *upload) copy() error {
	x, c := u.x, u.c
	pooled := bodyBuffers.Get().(*[bodySize]byte)
	defer bodyBuffers.Put(pooled)
	chunked := x.req.Length < 0
	limit := x.service.spec.Options.MaxBody
	buf := pooled[:]
	for {
		n, err := x.body.Read(buf[message.ChunkBefore : len(buf)-message.ChunkAfter])
		u.total += int64(n)
		if limit > 0 && u.total > limit {
			return errTooBig
		}
		if err == io.EOF {
			u.read.Store(true)
		}
		if n > 0 {
			part := buf[message.ChunkBefore : message.ChunkBefore+n]
			if chunked {
				part = message.FrameChunk(buf, message.ChunkBefore, n)
			}
			if _, err := c.Write(part); err != nil {
				return errDied
			}
		}
		switch {
		case err == nil:
			continue
		case err != io.EOF:
			if errors.Is(err, message.ErrBadFraming) {
				return message.ErrBadFraming
			}
			if err == errFinal {
				return errFinal
			}
			return errClient
		case !chunked:
			return nil
		}
		end := append(buf[:0], "0\r\n"...)
		for _, f := range x.body.Trailers() {
			end = message.AppendField(end, f.Name, f.Value)
		}
		if _, err := c.Write(append(end, "\r\n"...)); err != nil {
			return errDied
		}
		return nil
	}
}
