package podman

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/api/handlers"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	docker "github.com/docker/docker/api/types/container"

	"towline/daemon"
)

// noDetach stands for "no keys detach", which an exec cannot say: Podman takes
// its default for an empty list, and would swallow a terminal's ctrl-p. These
// keys must come in this order, each typed alone.
var noDetach = strings.TrimSuffix(strings.Repeat("ctrl-^,ctrl-_,", 8), ",")

// execEngine runs commands in containers that run.
type execEngine struct{ *client }

// Exec implements daemon.Containers. A command that is not there is 127, one that
// cannot be run 126.
func (e *execEngine) Exec(ctx context.Context, name string, spec daemon.ExecSpec, streams daemon.Streams) (int, error) {
	c, err := e.call(ctx)
	if err != nil {
		return 0, err
	}
	config := &handlers.ExecCreateConfig{ExecOptions: docker.ExecOptions{
		User:         spec.User,
		Tty:          streams.Terminal,
		AttachStdin:  streams.Stdin != nil,
		AttachStdout: true,
		AttachStderr: true,
		DetachKeys:   noDetach,
		WorkingDir:   spec.WorkDir,
		Cmd:          spec.Command,
	}}
	for k, v := range spec.Env {
		config.Env = append(config.Env, k+"="+v)
	}
	id, err := containers.ExecCreate(c, name, config)
	if err != nil {
		return 0, wrap(err, "exec in container "+name)
	}
	path := "/exec/" + id
	s, err := e.hijack(ctx, path+"/start", url.Values{}, map[string]any{
		"Detach": false, "Tty": streams.Terminal, "h": streams.Size.Rows, "w": streams.Size.Cols,
	})
	if err != nil {
		return 0, wrap(err, "exec in container "+name)
	}
	defer s.conn.Close()
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	if streams.Terminal && streams.Resize != nil {
		go e.followSizes(running, path, streams.Resize)
	}
	// With the caller's own context: what the caller ends with it ends before those
	// that are made of it.
	if err := s.carry(ctx, streams, streams.Terminal); err != nil {
		return 0, wrap(err, "exec in container "+name)
	}
	return e.execCode(ctx, name, id)
}

// endDelay is how long a process may live on whose streams Podman has ended. As a rule it
// has ended before. A service that was killed meanwhile, and came back, does not note the end
// of a command: up to 5.x it says that it has not ended yet.
const endDelay = 10 * time.Second

func endUnknown(what string) error {
	return daemon.Errorf(daemon.Unavailable, "%s: Podman went away while it ran, and its end is unknown", what).
		WithHint("try again; on the host, see: journalctl -u podman")
}

// execCode is the exit code of a command whose streams have ended.
func (e *execEngine) execCode(ctx context.Context, name, id string) (int, error) {
	c, err := e.call(ctx)
	if err != nil {
		return 0, err
	}
	tick := time.NewTicker(statePoll)
	defer tick.Stop()
	for since := time.Now(); ; {
		data, err := containers.ExecInspect(c, id, nil)
		if err != nil {
			return 0, wrap(err, "exec in container "+name)
		}
		if data.CanRemove { // a session not begun does not run either
			return data.ExitCode, nil
		}
		if waited := time.Since(since); waited > goneDelay || waited > endDelay && !ended(data.Pid) {
			return 0, endUnknown("exec in container " + name)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, wrap(ctx.Err(), "exec in container "+name)
		}
	}
}
