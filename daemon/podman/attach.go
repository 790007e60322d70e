package podman

import (
	"context"
	"net/url"

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
	// Attaching prepares the container and its process waits for the start: no
	// byte comes before the streams are in place. The keys that detach are none:
	// every byte is the process's.
	query := url.Values{"stream": {"true"}, "stdin": {"true"}, "stdout": {"true"}, "stderr": {"true"}, "detachKeys": {""}}
	s, err := e.hijack(ctx, path+"/attach", query, nil)
	if err != nil {
		return 0, wrap(err, "attach to container "+name)
	}
	defer s.conn.Close()
	if terminal && streams.Size != (daemon.Size{}) {
		if err := e.resize(ctx, path, streams.Size); err != nil {
			return 0, wrap(err, "size the terminal of container "+name)
		}
	}
	e.settle(ctx, name)
	if err := e.StartContainer(ctx, name); err != nil {
		return 0, err
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	if terminal && streams.Resize != nil {
		go e.followSizes(running, path, streams.Resize)
	}
	copied := make(chan error, 1)
	go func() { copied <- s.carry(running, streams, terminal) }()
	return e.finish(ctx, name, s, copied)
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
		code, err := e.WaitContainer(waiting, name)
		exited <- exit{code, err}
	}()
	select {
	case err := <-copied:
		if err != nil {
			return 0, wrap(err, "streams of container "+name)
		}
		end := <-exited
		return end.code, end.err
	case end := <-exited:
		if end.err != nil {
			return 0, end.err
		}
		s.limit(flushDelay)
		err := <-copied
		return end.code, wrap(err, "streams of container "+name)
	}
}
