package podman

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"golang.org/x/sys/unix"

	"towline/daemon"
)

// Podman's own wait and stop look every 100 ms or slower whether a process is
// gone, and return only after the network was taken down. The kernel tells at
// once: a process descriptor becomes readable.

const (
	// statePoll is how often Podman is asked for an exit code that it is about
	// to learn from its monitor process.
	statePoll = 5 * time.Millisecond
	// stateDelay is how long that may take before Podman itself must find out
	// what has become of the monitor.
	stateDelay = 2 * time.Second
	// goneDelay is how long Podman may take for that.
	goneDelay = time.Minute
	// killDelay is how long a process may take to vanish after SIGKILL.
	killDelay = 10 * time.Second
	// youth is the age by which the first process of a container surely listens to
	// signals, and resend how often one is sent until then.
	youth  = 2 * time.Second
	resend = 250 * time.Millisecond
)

// WaitContainer implements daemon.Containers. One that was never started is a
// conflict.
func (e *containerEngine) WaitContainer(ctx context.Context, name string) (int, error) {
	return e.waitSeeing(ctx, name, new(atomic.Bool))
}

// waitSeeing has in lives, while it waits, whether the process is known to live.
func (e *containerEngine) waitSeeing(ctx context.Context, name string, lives *atomic.Bool) (int, error) {
	data, err := e.inspect(ctx, name)
	if err != nil {
		return 0, err
	}
	if data.State.Status == "created" || data.State.Status == "configured" || data.State.Status == "initialized" {
		return 0, daemon.Errorf(daemon.Conflict, "wait for container %s: it was not started", name)
	}
	if !live(data.State) {
		return int(data.State.ExitCode), nil
	}
	process, err := openProcess(data.State.Pid)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		lives.Store(true)
		return e.waitSlowly(ctx, name) // for as long as it lives, which cannot be seen from here
	}
	if err == nil {
		defer process.Close()
		lives.Store(true)
		if err := awaitExit(ctx, process); err != nil {
			return 0, wrap(err, "wait for container "+name)
		}
		lives.Store(false)
	}
	return e.exitCode(ctx, name)
}

// exitCode is that of a container whose process is gone. It gives up when Podman does
// not come to know that.
func (e *containerEngine) exitCode(ctx context.Context, name string) (int, error) {
	tick := time.NewTicker(statePoll)
	defer tick.Stop()
	for since := time.Now(); time.Since(since) < stateDelay; {
		data, err := e.inspect(ctx, name)
		if err != nil {
			return 0, err
		}
		if !live(data.State) {
			return int(data.State.ExitCode), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, wrap(ctx.Err(), "wait for container "+name)
		}
	}
	limited, cancel := context.WithTimeout(ctx, goneDelay)
	defer cancel()
	code, err := e.waitSlowly(limited, name)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return 0, endUnknown("container " + name)
	}
	return code, err
}

// waitSlowly has Podman wait: for processes that this one cannot see, and for
// containers whose monitor was killed.
func (e *containerEngine) waitSlowly(ctx context.Context, name string) (int, error) {
	c, err := e.call(ctx)
	if err != nil {
		return 0, err
	}
	code, err := containers.Wait(c, name, new(containers.WaitOptions).WithInterval("25ms"))
	return int(code), wrap(err, "wait for container "+name)
}

// StopContainer implements daemon.Containers. The signal is the image's stop
// signal where it names one.
func (e *containerEngine) StopContainer(ctx context.Context, name string, grace time.Duration) error {
	data, err := e.inspect(ctx, name)
	if errors.Is(err, daemon.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if !live(data.State) {
		return nil
	}
	process, err := openProcess(data.State.Pid)
	if err != nil {
		return e.stopSlowly(ctx, name, grace)
	}
	defer process.Close()
	if data.State.Paused {
		if err := e.UnpauseContainer(ctx, name); err != nil {
			return err
		}
	}
	signal := "SIGTERM"
	if data.Config != nil && strings.HasPrefix(data.Config.StopSignal, "SIG") {
		signal = data.Config.StopSignal
	}
	if grace > 0 {
		gone, err := e.signal(ctx, name, signal, process, grace, data.State.StartedAt)
		if err != nil {
			return err
		}
		if gone {
			_, err := e.exitCode(ctx, name)
			return err
		}
	}
	gone, err := e.signal(ctx, name, "SIGKILL", process, killDelay, time.Time{})
	if err != nil {
		return err
	}
	if !gone {
		return daemon.Errorf(daemon.Failed, "stop container %s: its process does not end", name)
	}
	_, err = e.exitCode(ctx, name)
	return err
}

// signal tells whether the process ended within limit of being sent signal. It is
// sent again while the container is young: the first process of a container loses
// what comes before it listens.
func (e *containerEngine) signal(ctx context.Context, name, signal string, process *os.File, limit time.Duration, started time.Time) (bool, error) {
	for end := time.Now().Add(limit); ; {
		if err := e.KillContainer(ctx, name, signal); err != nil && !gone(process) {
			return false, err
		}
		wait := time.Until(end)
		if time.Since(started) < youth {
			wait = min(wait, resend)
		}
		limited, cancel := context.WithTimeout(ctx, wait)
		err := awaitExit(limited, process)
		cancel()
		switch {
		case err == nil:
			return true, nil
		case ctx.Err() != nil:
			return false, wrap(ctx.Err(), "stop container "+name)
		case !time.Now().Before(end):
			return false, nil
		}
	}
}

func (e *containerEngine) stopSlowly(ctx context.Context, name string, grace time.Duration) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	return wrap(containers.Stop(c, name, new(containers.StopOptions).WithTimeout(seconds(grace))), "stop container "+name)
}

// openProcess returns a descriptor that is readable once the process has ended.
func openProcess(pid int) (*os.File, error) {
	if pid <= 0 {
		return nil, unix.ESRCH
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// ended tells of a process that there is no more, or that has ended and is still to be
// reaped.
func ended(pid int) bool {
	process, err := openProcess(pid)
	if err != nil {
		return true
	}
	defer process.Close()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(process.Fd()), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}

// awaitExit returns when the process has ended, or ctx's error.
func awaitExit(ctx context.Context, process *os.File) error {
	conn, err := process.SyscallConn()
	if err != nil {
		return err
	}
	if err := process.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = process.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = conn.Read(readable)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func gone(process *os.File) bool {
	conn, err := process.SyscallConn()
	if err != nil {
		return false
	}
	var ended bool
	_ = conn.Control(func(fd uintptr) { ended = readable(fd) })
	return ended
}

func readable(fd uintptr) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}
