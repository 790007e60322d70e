package memory

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"towline/daemon"
)

// EnsureNetwork implements daemon.Networks.
func (e *Engine) EnsureNetwork(ctx context.Context, name string, labels map[string]string) error {
	if err := over(ctx, "create network "+name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.networks[name] == nil {
		e.networks[name] = e.labelled(labels)
	}
	return nil
}

// RemoveNetwork implements daemon.Networks. One that containers are joined to is a
// conflict.
func (e *Engine) RemoveNetwork(ctx context.Context, name string) error {
	if err := over(ctx, "remove network "+name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if _, joined := c.networks[name]; joined {
			return daemon.Errorf(daemon.Conflict, "remove network %s: %s is joined to it", name, c.info.Name)
		}
	}
	delete(e.networks, name)
	return nil
}

// Networks implements daemon.Networks.
func (e *Engine) Networks(ctx context.Context) ([]daemon.Labelled, error) {
	return e.list(ctx, "list networks", e.networks)
}

func (e *Engine) list(ctx context.Context, what string, of map[string]map[string]string) (list []daemon.Labelled, err error) {
	if err := over(ctx, what); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(of)) {
		list = append(list, daemon.Labelled{Name: name, Labels: maps.Clone(of[name])})
	}
	return list, nil
}

// Connect implements daemon.Networks.
func (e *Engine) Connect(ctx context.Context, network, container string, aliases []string) error {
	if err := over(ctx, "connect "+container); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[container]
	if c == nil {
		return notFound("container", container)
	}
	if e.networks[network] == nil {
		return notFound("network", network)
	}
	if _, joined := c.networks[network]; joined {
		return nil
	}
	c.networks[network] = slices.Clone(aliases)
	if c.info.Running {
		c.info.Addresses[network] = e.address()
	}
	return nil
}

// Disconnect implements daemon.Networks.
func (e *Engine) Disconnect(ctx context.Context, network, container string) error {
	if err := over(ctx, "disconnect "+container); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[container]; c != nil {
		delete(c.networks, network)
		delete(c.info.Addresses, network)
	}
	return nil
}

// Joined are the networks of a container, with the names that it has there.
func (e *Engine) Joined(container string) map[string][]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[container]; c != nil {
		return maps.Clone(c.networks)
	}
	return nil
}

// address is one that nothing has had before: whoever keeps an old one is found out.
func (e *Engine) address() string {
	e.made++
	return fmt.Sprintf("10.%d.%d.%d", e.made>>16&255, e.made>>8&255, e.made&255)
}

// EnsureVolume implements daemon.Volumes.
func (e *Engine) EnsureVolume(ctx context.Context, name string, labels map[string]string) error {
	if err := over(ctx, "create volume "+name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ensureVolume(name, labels)
}

func (e *Engine) ensureVolume(name string, labels map[string]string) error {
	if e.volumes[name] != nil {
		return nil
	}
	e.volumes[name] = e.labelled(labels)
	return os.MkdirAll(e.volumePath(name), 0o700)
}

func (e *Engine) volumePath(name string) string { return filepath.Join(e.dir, name, "_data") }

// RemoveVolume implements daemon.Volumes. One that a container uses is a conflict.
func (e *Engine) RemoveVolume(ctx context.Context, name string) error {
	if err := over(ctx, "remove volume "+name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if slices.ContainsFunc(c.spec.Mounts, func(m daemon.Mount) bool { return m.Volume == name }) {
			return daemon.Errorf(daemon.Conflict, "remove volume %s: %s uses it", name, c.info.Name)
		}
	}
	delete(e.volumes, name)
	return os.RemoveAll(filepath.Dir(e.volumePath(name)))
}

// Volumes implements daemon.Volumes.
func (e *Engine) Volumes(ctx context.Context) ([]daemon.Labelled, error) {
	return e.list(ctx, "list volumes", e.volumes)
}

// VolumePath implements daemon.Volumes.
func (e *Engine) VolumePath(ctx context.Context, name string) (string, error) {
	if err := over(ctx, "volume "+name); err != nil {
		return "", err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.volumes[name] == nil || strings.Contains(name, "/") {
		return "", notFound("volume", name)
	}
	return e.volumePath(name), nil
}
