package podman

import (
	"context"
	"io"
	"net/url"
	"time"

	"towline/daemon"
)

// RunAttached implements daemon.Containers.
func (e *Engine) RunAttached(ctx context.Context, name string, streams daemon.Streams) (int, error) {
	data, err := e.inspect(ctx, name)
	if err != nil {
		return 0, err
	}
	terminal := data.Config != nil && data.Config.Tty
	path := "/containers/" + url.PathEscape(name)
	if err := lendWorkDir(data); err != nil {
		return 0, wrap(err, "container "+name)
	}
	// Attaching prepares the container and its process waits for the start: no
	// byte comes before the streams are in place.
	s, err := e.attach(ctx, path, url.Values{"stdout": {"true"}, "stderr": {"true"}})
	if err != nil {
		return 0, wrap(err, "attach to container "+name)
	}
	defer s.conn.Close()
	// Podman gives an attachment up when it cannot pass input on, as the process has
	// just ended, whatever output is still to come. So input has one of its own. It
	// asks for the output too: Podman ends an attachment to a terminal without.
	input, err := e.attach(ctx, path, url.Values{"stdin": {"true"}, "stdout": {"true"}})
	if err != nil {
		return 0, wrap(err, "attach to container "+name)
	}
	defer input.conn.Close()
	if terminal && streams.Size != (daemon.Size{}) {
		if err := e.resize(ctx, path, streams.Size); err != nil {
			return 0, wrap(err, "size the terminal of container "+name)
		}
	}
	if err := e.StartContainer(ctx, name); err != nil {
		return 0, err
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if terminal && streams.Resize != nil {
		go e.followSizes(running, path, streams.Resize)
	}
	go func() { _, _ = io.Copy(io.Discard, input.reader) }()
	go input.send(streams.Stdin, cancel)
	copied := make(chan error, 1)
	go func() {
		var err error
		defer func() { copied <- err }()
		defer daemon.Contain("the output of a process", &err)
		err = s.receive(running, streams, terminal)
	}()
	code, err := e.finish(ctx, name, s, copied)
	if ctx.Err() != nil && err != nil {
		return 0, wrap(ctx.Err(), "streams of container "+name)
	}
	if broken := brokenInput(ctx, running); broken != nil {
		return 0, broken
	}
	return code, err
}

// attach makes a stream of a container's. The keys that detach are none: every byte
// is the process's.
func (e *Engine) attach(ctx context.Context, path string, query url.Values) (*stream, error) {
	query.Set("stream", "true")
	query.Set("detachKeys", "")
	return e.hijack(ctx, path+"/attach", query, nil)
}

// finish returns the exit code once the process has ended and its last byte was
// copied.
func (e *Engine) finish(ctx context.Context, name string, s *stream, copied <-chan error) (int, error) {
	type exit struct {
		code int
		err  error
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	exited := make(chan exit, 1)
	go func() {
		var end exit
		defer func() { exited <- end }()
		defer daemon.Contain("the wait for a container", &end.err)
		end.code, end.err = e.WaitContainer(waiting, name)
	}()
	select {
	case err := <-copied:
		if err != nil {
			return 0, wrap(err, "streams of container "+name)
		}
		// Podman ends the streams after the process. If that lives, it was Podman itself
		// that went away, and what the process says from now on is lost.
		select {
		case end := <-exited:
			return end.code, end.err
		case <-time.After(endDelay):
			return 0, endUnknown("container " + name)
		}
	case end := <-exited:
		if end.err != nil {
			return 0, end.err
		}
		s.limit(flushDelay)
		err := <-copied
		return end.code, wrap(err, "streams of container "+name)
	}
}
