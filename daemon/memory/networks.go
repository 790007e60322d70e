package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"towline/daemon"
)

// networkEngine is a daemon.Networks.
type networkEngine struct{ *state }

// EnsureNetwork implements daemon.Networks.
func (e *networkEngine) EnsureNetwork(ctx context.Context, name string, labels map[string]string) error {
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
func (e *networkEngine) RemoveNetwork(ctx context.Context, name string) error {
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
func (e *networkEngine) Networks(ctx context.Context) ([]daemon.Labelled, error) {
	return e.list(ctx, "list networks", e.networks)
}

func (s *state) list(ctx context.Context, what string, of map[string]map[string]string) (list []daemon.Labelled, err error) {
	if err := over(ctx, what); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(of)) {
		list = append(list, daemon.Labelled{Name: name, Labels: maps.Clone(of[name])})
	}
	return list, nil
}

// Connect implements daemon.Networks.
func (e *networkEngine) Connect(ctx context.Context, network, container string, aliases []string) error {
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
func (e *networkEngine) Disconnect(ctx context.Context, network, container string) error {
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
func (e *networkEngine) Joined(container string) map[string][]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[container]; c != nil {
		return maps.Clone(c.networks)
	}
	return nil
}

// address is one that nothing has had before: whoever keeps an old one is found out.
func (s *state) address() string {
	s.made++
	return fmt.Sprintf("10.%d.%d.%d", s.made>>16&255, s.made>>8&255, s.made&255)
}
