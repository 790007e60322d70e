package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"towline/daemon"
)

// container is one with what Container reports of it.
type container struct {
	spec     daemon.ContainerSpec
	info     daemon.Container
	args     []string
	networks map[string][]string // aliases
	process  *process            // nil unless it runs
	log      []output
}

// containerEngine is a daemon.Containers.
type containerEngine struct{ *state }

// CreateContainer implements daemon.Containers.
func (e *containerEngine) CreateContainer(ctx context.Context, spec daemon.ContainerSpec) error {
	what := "create container " + spec.Name
	if err := over(ctx, what); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	image := e.image(spec.Image)
	if image == nil {
		return notFound(what+": image", spec.Image)
	}
	if e.containers[spec.Name] != nil {
		return daemon.Errorf(daemon.Exists, "%s: the name is already in use", what)
	}
	c := &container{spec: spec, networks: map[string][]string{}}
	if !spec.NoNetwork && !spec.HostNetwork {
		for _, n := range spec.Networks {
			if e.networks[n.Network] == nil {
				return notFound(what+": network", n.Network)
			}
			c.networks[n.Network] = slices.Clone(n.Aliases)
		}
	}
	for _, m := range spec.Mounts {
		if m.Volume != "" {
			if err := e.ensureVolume(m.Volume, nil); err != nil {
				return err
			}
		}
	}
	c.args = append(slices.Clone(spec.Entrypoint), spec.Command...)
	if spec.Entrypoint == nil {
		command := spec.Command
		if command == nil {
			command = image.Cmd
		}
		c.args = append(slices.Clone(image.Entrypoint), command...)
	}
	labels := maps.Clone(image.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, e.labelled(spec.Labels))
	e.made++
	c.info = daemon.Container{Name: spec.Name, ID: fmt.Sprintf("%064x", e.made), Image: image.ID, Labels: labels,
		Created: time.Now(), Addresses: map[string]string{}}
	e.containers[spec.Name] = c
	e.touch()
	return nil
}

// StartContainer implements daemon.Containers.
func (e *containerEngine) StartContainer(ctx context.Context, name string) error {
	if err := over(ctx, "start container "+name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[name]
	if c == nil {
		return notFound("container", name)
	}
	if !c.info.Running {
		e.start(c, daemon.Streams{}, nil)
	}
	return nil
}

// StopContainer implements daemon.Containers.
func (e *containerEngine) StopContainer(ctx context.Context, name string, grace time.Duration) error {
	if err := over(ctx, "stop container "+name); err != nil {
		return err
	}
	e.mu.Lock()
	c := e.containers[name]
	if c == nil || c.process == nil {
		e.mu.Unlock()
		return nil
	}
	p := c.process
	c.info.Paused = false
	p.terminate()
	e.touch()
	e.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if e.await(limited, func() bool { return c.process != p }) == nil {
		return nil
	}
	if err := over(ctx, "stop container "+name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.process == p {
		e.kill(c, killed)
	}
	return nil
}

// RemoveContainer implements daemon.Containers.
func (e *containerEngine) RemoveContainer(ctx context.Context, name string) error {
	if err := over(ctx, "remove container "+name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[name]; c != nil {
		e.kill(c, killed)
		delete(e.containers, name)
		e.touch()
	}
	return nil
}

// KillContainer implements daemon.Containers. One that does not run is a conflict. SIGTERM
// and SIGKILL are all the signals that there are.
func (e *containerEngine) KillContainer(ctx context.Context, name, signal string) error {
	return e.change(ctx, "kill", name, func(c *container) bool {
		switch {
		case c.process == nil:
			return false
		case strings.TrimPrefix(signal, "SIG") == "KILL":
			e.kill(c, killed)
		default:
			c.process.terminate()
		}
		return true
	})
}

// PauseContainer implements daemon.Containers. One that does not run, or is paused already,
// is a conflict.
func (e *containerEngine) PauseContainer(ctx context.Context, name string) error {
	return e.change(ctx, "pause", name, func(c *container) bool {
		was := c.info.Paused
		c.info.Paused = c.info.Running
		return c.info.Paused && !was
	})
}

// UnpauseContainer implements daemon.Containers. One that is not paused is a conflict.
func (e *containerEngine) UnpauseContainer(ctx context.Context, name string) error {
	return e.change(ctx, "unpause", name, func(c *container) bool {
		was := c.info.Paused
		c.info.Paused = false
		return was
	})
}

// change calls f, which tells whether the container's state allows it.
func (e *containerEngine) change(ctx context.Context, verb, name string, f func(*container) bool) error {
	if err := over(ctx, verb+" container "+name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[name]
	if c == nil {
		return notFound("container", name)
	}
	if !f(c) {
		return daemon.Errorf(daemon.Conflict, "%s container %s: its state does not allow it", verb, name)
	}
	e.touch()
	return nil
}

// Container implements daemon.Containers.
func (e *containerEngine) Container(ctx context.Context, name string) (daemon.Container, error) {
	if err := over(ctx, "container "+name); err != nil {
		return daemon.Container{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[name]
	if c == nil {
		return daemon.Container{}, notFound("container", name)
	}
	info := c.info
	info.Labels, info.Addresses = maps.Clone(info.Labels), maps.Clone(info.Addresses)
	return info, nil
}

// ContainerList implements daemon.Containers.
func (e *containerEngine) ContainerList(ctx context.Context, labels map[string]string) ([]daemon.Container, error) {
	if err := over(ctx, "list containers"); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	list := []daemon.Container{}
	for _, name := range slices.Sorted(maps.Keys(e.containers)) {
		info := e.containers[name].info
		has := true
		for k, v := range labels {
			value, ok := info.Labels[k]
			has = has && ok && value == v
		}
		if has {
			if info.Running {
				info.IPs = append(slices.Sorted(maps.Values(info.Addresses)), "127.0.0.1")
			}
			info.Labels, info.Addresses = maps.Clone(info.Labels), nil
			list = append(list, info)
		}
	}
	return list, nil
}

// Spec is what a container was made of.
func (e *containerEngine) Spec(name string) (daemon.ContainerSpec, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[name]; c != nil {
		return c.spec, true
	}
	return daemon.ContainerSpec{}, false
}

// WaitContainer implements daemon.Containers. One that was never started is a conflict.
func (e *containerEngine) WaitContainer(ctx context.Context, name string) (code int, err error) {
	if err := over(ctx, "wait for container "+name); err != nil {
		return 0, err
	}
	e.mu.Lock()
	c := e.containers[name]
	e.mu.Unlock()
	if c == nil {
		return 0, notFound("container", name)
	}
	started := true
	err = e.await(ctx, func() bool {
		code, started = c.info.ExitCode, !c.info.Started.IsZero()
		return c.process == nil
	})
	if err != nil {
		return 0, over(ctx, "wait for container "+name)
	}
	if !started {
		return 0, daemon.Errorf(daemon.Conflict, "wait for container %s: it was not started", name)
	}
	return code, nil
}
