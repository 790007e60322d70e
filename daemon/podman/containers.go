package podman

import (
	"context"
	"sync"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings/containers"

	"towline/daemon"
)

// containerEngine is what is done with containers that are made: they are found, told of,
// ended and removed.
type containerEngine struct {
	*client
	index    index
	halfMade halfMade
	fresh    sync.Map // container name -> []string, bridges: made here and not started yet
	kills    memoryKills
}

// stateOf is the container's state in Podman's words; empty: it can't be told.
func (e *containerEngine) stateOf(ctx context.Context, name string) string {
	data, err := e.inspect(ctx, name)
	if err != nil {
		return ""
	}
	return data.State.Status
}

// RemoveContainer implements daemon.Containers. Volumes that the image declared
// and nobody named go with it.
func (e *containerEngine) RemoveContainer(ctx context.Context, name string) (err error) {
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
func (e *containerEngine) KillContainer(ctx context.Context, name, signal string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	return wrap(containers.Kill(c, name, new(containers.KillOptions).WithSignal(signal)), "kill container "+name)
}

// PauseContainer implements daemon.Containers.
func (e *containerEngine) PauseContainer(ctx context.Context, name string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	return wrap(containers.Pause(c, name, nil), "pause container "+name)
}

// UnpauseContainer implements daemon.Containers.
func (e *containerEngine) UnpauseContainer(ctx context.Context, name string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	return wrap(containers.Unpause(c, name, nil), "unpause container "+name)
}

// Container implements daemon.Containers.
func (e *containerEngine) Container(ctx context.Context, name string) (daemon.Container, error) {
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
func (e *containerEngine) inspect(ctx context.Context, name string) (*define.InspectContainerData, error) {
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
