package work

import (
	"errors"
	"fmt"
	"io"
	"time"

	"towline/daemon"
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

// Input is what a user sends, with the limits above. It fails for good once.
type Input struct {
	r    io.Reader
	idle time.Duration
	end  time.Time
	buf  []byte
	err  error
}

// NewInput has r read within the limits of this file. idle is the longest time between two
// bytes; zero: the usual one.
func NewInput(r io.Reader, idle time.Duration) *Input {
	if idle == 0 {
		idle = inputIdle
	}
	return &Input{r: r, idle: idle, end: time.Now().Add(inputLimit), buf: make([]byte, 64<<10)}
}

// Read leaves a read behind that takes too long; the end of the caller's connection ends
// that. buf is its own, and not used again then.
func (in *Input) Read(p []byte) (int, error) {
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

// Broken is the error to give where the input, and not what is in it, was at fault; nil
// where it came whole, or as far as it was read.
func (in *Input) Broken() error {
	if in.err == nil || errors.Is(in.err, io.EOF) {
		return nil
	}
	return daemon.Errorf(daemon.Failed, "the input broke off: %w", in.err).WithHint("nothing was changed; try again")
}
