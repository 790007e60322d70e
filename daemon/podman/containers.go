package podman

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	"golang.org/x/sys/unix"

	"towline/daemon"
)

// wholeLimit bounds what is not cut short.
const wholeLimit = time.Minute

// whole is a context for making something: Podman goes on when its client hangs up, and
// what it had made then would appear after the caller has looked for it and removed it.
func whole(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), wholeLimit)
}

// CreateContainer implements daemon.Containers. A name that is taken is
// daemon.ErrExists. When ctx ends the container is there, or never will be.
func (e *Engine) CreateContainer(ctx context.Context, spec daemon.ContainerSpec) error {
	if err := ctx.Err(); err != nil {
		return wrap(err, "create container "+spec.Name)
	}
	made, cancel := whole(ctx)
	defer cancel()
	c, err := e.call(made)
	if err != nil {
		return err
	}
	f, err := e.fixed(made)
	if err != nil {
		return err
	}
	if spec.IDMap != 0 && spec.IDMapMounts {
		without, err := e.unmappable(made, spec, f)
		if err != nil {
			return err
		}
		if without {
			spec.IDMap = 0
		}
	}
	e.halfMade.begin(spec.Name)
	e.index.add(spec.Name, spec.Labels)
	defer func() { e.index.add(spec.Name, spec.Labels) }() // made or not: who looks for it finds out
	_, err = containers.CreateWithSpec(c, e.generate(spec, f), nil)
	e.halfMade.note(spec.Name, wrap(err, ""))
	if err == nil && spec.IDMap != 0 && spec.IDMapMounts {
		err = e.lend(made, spec.Name)
	}
	if err == nil {
		e.fresh.Store(spec.Name, bridgesOf(spec))
		err = ctx.Err()
	}
	return wrap(err, "create container "+spec.Name)
}

// StartContainer implements daemon.Containers. Between Podman's preparations and
// the start of the process, names are written where it finds them.
func (e *Engine) StartContainer(ctx context.Context, name string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	// A container's first start is prepared while the firewall is seen to; it does not begin
	// before both are done.
	fresh := e.isolateFresh(ctx, name)
	settled := 0 // the process that was made fit to start
	prepared := fresh != nil
	for since := time.Now(); time.Since(since) < settleLimit; prepared = false {
		if !prepared {
			if err := e.lend(ctx, name); err != nil {
				return err
			}
		}
		// Fails when it is prepared or runs already. One that is neither is not started: it
		// would run before it is fit to.
		if failed := containers.ContainerInit(c, name, nil); failed != nil {
			switch e.stateOf(ctx, name) {
			case "initialized":
			case "running", "paused":
				return wrap(containers.Start(c, name, nil), "start container "+name)
			default:
				return wrap(failed, "start container "+name)
			}
		}
		settled, err = e.settle(ctx, name, fresh)
		if err == nil && !ended(settled) {
			break
		}
		// The clean-up that Podman's monitor runs when a container has ended may come
		// late, and take down what was prepared since: on a busy machine, seconds late.
		if err == nil {
			err = fmt.Errorf("process %d of container %s: %w", settled, name, unix.ESRCH)
		}
		if !errors.Is(err, unix.ESRCH) {
			return err
		}
		select {
		case <-time.After(busyDelay):
		case <-ctx.Done():
			return wrap(ctx.Err(), "start container "+name)
		}
	}
	if err != nil {
		return err
	}
	if err := containers.Start(c, name, nil); err != nil || fresh != nil {
		return wrap(err, "start container "+name)
	}
	// For the same reason Podman may have prepared it a second time just now.
	data, err := e.inspect(ctx, name)
	if err == nil && live(data.State) && data.State.Pid != settled {
		_, err = e.settle(ctx, name, nil)
	}
	return err
}

// isolateFresh begins to see to the rules for a container that this process has made and
// that never ran, and returns what waits for the end of that; nil: it is another one.
func (e *Engine) isolateFresh(ctx context.Context, name string) (wait func() error) {
	bridges, fresh := e.fresh.LoadAndDelete(name)
	if !fresh {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		defer daemon.Contain("keeping networks apart", &err)
		err = e.isolate(ctx, bridges.([]string)...)
	}()
	return sync.OnceValue(func() error { return <-done })
}

// bridgesOf are the interfaces of a container's networks.
func bridgesOf(spec daemon.ContainerSpec) []string {
	if spec.HostNetwork || spec.NoNetwork {
		return nil
	}
	bridges := make([]string, len(spec.Networks))
	for i, n := range spec.Networks {
		bridges[i] = bridgeName(n.Network)
	}
	return bridges
}

// settleLimit is for how long a container is prepared again that is taken down meanwhile.
const settleLimit = 15 * time.Second

// stateOf is the container's state in Podman's words; empty: it can't be told.
func (e *Engine) stateOf(ctx context.Context, name string) string {
	data, err := e.inspect(ctx, name)
	if err != nil {
		return ""
	}
	return data.State.Status
}

// RemoveContainer implements daemon.Containers. Volumes that the image declared
// and nobody named go with it.
func (e *Engine) RemoveContainer(ctx context.Context, name string) (err error) {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	seen := e.index.now()
	defer func() {
		e.halfMade.note(name, err)
		if err == nil {
			e.index.remove(name, seen)
		}
	}()
	e.fresh.Delete(name)
	options := new(containers.RemoveOptions).WithForce(true).WithVolumes(true).WithTimeout(0)
	for since := time.Now(); ; {
		reports, err := containers.Remove(c, name, options)
		if err == nil && len(reports) > 0 {
			err = reports[0].Err
		}
		if err != nil && (absent(err) || contains(err, "no such container", "no container with")) {
			return nil
		}
		if err == nil || time.Since(since) > busyLimit || ctx.Err() != nil || !ending(err) {
			return wrap(err, "remove container "+name)
		}
		time.Sleep(busyDelay)
	}
}

// ending tells whether err comes of a container that is ending just now: the clean-up that
// Podman's monitor runs at an exit may hold mounts still, and what has exited can't be killed.
func ending(err error) bool { return contains(err, "resource busy", "container state improper") }

// busyDelay is waited before what was busy is tried again, for no longer than busyLimit.
const (
	busyDelay = 25 * time.Millisecond
	busyLimit = 30 * time.Second
)

// KillContainer implements daemon.Containers. One that does not run is a conflict.
func (e *Engine) KillContainer(ctx context.Context, name, signal string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	return wrap(containers.Kill(c, name, new(containers.KillOptions).WithSignal(signal)), "kill container "+name)
}

// PauseContainer implements daemon.Containers.
func (e *Engine) PauseContainer(ctx context.Context, name string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	return wrap(containers.Pause(c, name, nil), "pause container "+name)
}

// UnpauseContainer implements daemon.Containers.
func (e *Engine) UnpauseContainer(ctx context.Context, name string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	return wrap(containers.Unpause(c, name, nil), "unpause container "+name)
}

// Container implements daemon.Containers.
func (e *Engine) Container(ctx context.Context, name string) (daemon.Container, error) {
	data, err := e.inspect(ctx, name)
	if err != nil {
		return daemon.Container{}, err
	}
	container := daemon.Container{
		Name:      data.Name,
		ID:        data.ID,
		Image:     data.Image,
		Running:   live(data.State),
		Paused:    data.State.Paused,
		ExitCode:  int(data.State.ExitCode),
		OOMKilled: data.State.OOMKilled || e.kills.has(data.ID),
		Created:   data.Created,
		Started:   data.State.StartedAt,
		Finished:  data.State.FinishedAt,
		Addresses: map[string]string{},
	}
	if data.Config != nil {
		container.Labels = data.Config.Labels
	}
	if data.NetworkSettings != nil {
		for name, n := range data.NetworkSettings.Networks {
			if n != nil && n.IPAddress != "" {
				container.Addresses[name] = n.IPAddress
			}
		}
	}
	return container, nil
}

// inspect's data always has a state.
func (e *Engine) inspect(ctx context.Context, name string) (*define.InspectContainerData, error) {
	c, err := e.call(ctx)
	if err != nil {
		return nil, err
	}
	data, err := containers.Inspect(c, name, nil)
	// Podman 4 reads the process's cgroup: if that ends just then, ask again.
	for range 20 {
		if err == nil || !contains(err, "read /proc/", "open /proc/") || ctx.Err() != nil {
			break
		}
		time.Sleep(statePoll)
		data, err = containers.Inspect(c, name, nil)
	}
	if err != nil {
		return nil, wrap(err, "container "+name)
	}
	if data.State == nil {
		data.State = &define.InspectContainerState{}
	}
	return data, nil
}

// live tells whether there is a process: paused and stopping count.
func live(state *define.InspectContainerState) bool {
	switch state.Status {
	case define.ContainerStateRunning.String(), define.ContainerStatePaused.String(), define.ContainerStateStopping.String():
		return true
	}
	return false
}

// unixTime keeps "never" zero.
func unixTime(s int64) time.Time {
	if s <= 0 {
		return time.Time{}
	}
	return time.Unix(s, 0)
}
