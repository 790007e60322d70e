package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"towline/daemon"
	"towline/daemon/journal"
	"towline/daemon/work"
)

// This file takes in what users send. That is done before a lock is taken and before
// anything changes: a slow, idle or broken connection keeps nobody but its own user
// waiting, and an input that breaks off has changed nothing.

const (
	// inputIdle is the longest time between two bytes of an input.
	inputIdle = 5 * time.Minute
	// inputLimit bounds the time of one input as a whole.
	inputLimit = 12 * time.Hour
)

// input is what a user sends, with the limits above. It fails for good once.
type input struct {
	r    io.Reader
	idle time.Duration
	end  time.Time
	buf  []byte
	err  error
}

func (d *Daemon) newInput(r io.Reader) *input {
	idle := d.InputIdle
	if idle == 0 {
		idle = inputIdle
	}
	return &input{r: r, idle: idle, end: time.Now().Add(inputLimit), buf: make([]byte, 64<<10)}
}

// Patient gives an input that is read elsewhere the limits of this file.
func (d *Daemon) Patient(r io.Reader) io.Reader { return d.newInput(r) }

// Read leaves a read behind that takes too long; the end of the caller's connection ends
// that. buf is its own, and not used again then.
func (in *input) Read(p []byte) (int, error) {
	if in.err != nil {
		return 0, in.err
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	buf := in.buf[:min(len(p), len(in.buf))]
	go func() {
		var r result
		defer func() { done <- r }()
		defer daemon.Contain("the reading of an input", &r.err)
		r.n, r.err = in.r.Read(buf)
	}()
	timer := time.NewTimer(min(in.idle, time.Until(in.end)))
	defer timer.Stop()
	select {
	case r := <-done:
		in.err = r.err
		return copy(p, buf[:r.n]), r.err
	case <-timer.C:
		in.err = fmt.Errorf("nothing came for %s", in.idle)
		if time.Now().After(in.end) {
			in.err = fmt.Errorf("it took more than %s", inputLimit)
		}
		return 0, in.err
	}
}

// broken is the error to give where the input, and not what is in it, was at fault; nil
// where it came whole, or as far as it was read.
func (in *input) broken() error {
	if in.err == nil || errors.Is(in.err, io.EOF) {
		return nil
	}
	return daemon.Errorf(daemon.Failed, "the input broke off: %w", in.err).WithHint("nothing was changed; try again")
}

// lockInput has the uploads for an app or add-on come one by one: each takes room.
func (d *Daemon) lockInput(ctx context.Context, subject string, out io.Writer) (unlock func(), err error) {
	return d.Locks.Lock(ctx, "input:"+subject, func(since time.Time) {
		work.Say(out, " !     Waiting for another upload for %s, begun %s", subject, journal.Begun(since))
	})
}

// spoolStep is how many bytes of an input are taken in between two looks at the disk.
const spoolStep = 64 << 20

// spool takes an input in whole, as a file that is gone once it is closed. It leaves the
// disk some room.
func (d *Daemon) spool(ctx context.Context, subject string, r io.Reader, out io.Writer) (*os.File, error) {
	unlock, err := d.lockInput(ctx, subject, out)
	if err != nil {
		return nil, err
	}
	defer unlock()
	work := filepath.Join(d.Dir, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(work, "input-")
	if err != nil {
		return nil, err
	}
	in := d.newInput(r)
	if err = os.Remove(f.Name()); err == nil {
		err = d.fill(ctx, f, in)
	}
	if broken := in.broken(); broken != nil {
		err = broken
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, d.explainFull(ctx, err)
	}
	return f, nil
}

func (d *Daemon) fill(ctx context.Context, f *os.File, in io.Reader) error {
	for {
		if err := d.room(ctx, "taking in the input", d.Dir, spoolStep); err != nil {
			return err
		}
		if _, err := io.CopyN(f, in, spoolStep); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
