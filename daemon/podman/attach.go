package podman

import (
	"context"
	"io"
	"net/url"
	"sync/atomic"
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
	attached := []*stream{s}
	defer func() {
		for _, s := range attached {
			s.conn.Close()
		}
	}()
	// Podman gives an attachment up when it cannot pass input on, as the process has
	// just ended, whatever output is still to come. So input has one of its own. It
	// asks for the output too: Podman ends an attachment to a terminal without.
	input, err := e.attach(ctx, path, url.Values{"stdin": {"true"}, "stdout": {"true"}})
	if err != nil {
		return 0, wrap(err, "attach to container "+name)
	}
	attached = append(attached, input)
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
	ended := brokenInput(ctx, running)
	if ctx.Err() != nil && err != nil {
		ended = wrap(ctx.Err(), "streams of container "+name)
	}
	if ended != nil {
		attached = nil // hold closes them
		go e.hold(context.WithoutCancel(ctx), name, s, input)
		return 0, ended
	}
	return code, err
}

// hold keeps attachments until the container has ended. To close one, of input or of output, is
// to end the input of the process: half a script would be run as a whole one before the caller
// has removed the container.
func (e *containerEngine) hold(ctx context.Context, name string, output, input *stream) {
	defer output.conn.Close()
	defer input.conn.Close()
	_ = output.conn.SetReadDeadline(time.Time{})
	go func() { _, _ = io.Copy(io.Discard, output.reader) }()
	_, _ = e.WaitContainer(ctx, name)
}

// attach makes a stream of a container's. The keys that detach are none: every byte
// is the process's.
func (c *client) attach(ctx context.Context, path string, query url.Values) (*stream, error) {
	query.Set("stream", "true")
	query.Set("detachKeys", "")
	return c.hijack(ctx, path+"/attach", query, nil)
}

// finish returns the exit code once the process has ended and its last byte was
// copied.
func (e *containerEngine) finish(ctx context.Context, name string, s *stream, copied <-chan error) (int, error) {
	type exit struct {
		code int
		err  error
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	var lives atomic.Bool
	exited := make(chan exit, 1)
	go func() {
		var end exit
		defer func() { exited <- end }()
		defer daemon.Contain("the wait for a container", &end.err)
		end.code, end.err = e.waitSeeing(waiting, name, &lives)
	}()
	select {
	case err := <-copied:
		if err != nil {
			return 0, wrap(err, "streams of container "+name)
		}
		// Podman ends the streams after the process. If that lives, it was Podman itself
		// that went away, and what the process says from now on is lost. Else it has yet to
		// note the end, which a busy machine takes long over.
		for {
			select {
			case end := <-exited:
				return end.code, end.err
			case <-time.After(endDelay):
				if lives.Load() {
					return 0, endUnknown("container " + name)
				}
			}
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
