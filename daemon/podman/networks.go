package podman

import (
	"context"
	"crypto/rand"
	"net"
	"sync"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/network"
	"go.podman.io/common/libnetwork/types"

	"towline/daemon"
)

// networkEngine is a daemon.Networks.
type networkEngine struct {
	*client
	*firewall
	containers *containerEngine
	publishing sync.Mutex // held while names are gathered and written
}

// EnsureNetwork implements daemon.Networks. The network is a bridge of its own; see
// bridge.go for what keeps packets from going between it and the others.
func (e *networkEngine) EnsureNetwork(ctx context.Context, name string, labels map[string]string) error {
	if err := ctx.Err(); err != nil {
		return wrap(err, "create network "+name)
	}
	made, cancel := whole(ctx)
	defer cancel()
	c, err := e.call(made)
	if err != nil {
		return err
	}
	wanted := &types.Network{
		Name:             name,
		NetworkInterface: bridgeName(name),
		Driver:           types.BridgeNetworkDriver,
		DNSEnabled:       true,
		Labels:           e.labelled(labels),
	}
	_, err = network.Create(c, wanted)
	// Podman looks at all interfaces of the host, one by one: another may go meanwhile.
	for try := 0; err != nil && try < 20 && contains(err, "no such network interface"); try++ {
		time.Sleep(statePoll)
		_, err = network.Create(c, wanted)
	}
	if err != nil && contains(err, "already exists", "already used") {
		return nil
	}
	return wrap(err, "create network "+name)
}

// RemoveNetwork implements daemon.Networks. One that containers are joined to is
// a conflict.
func (e *networkEngine) RemoveNetwork(ctx context.Context, name string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	reports, err := network.Remove(c, name, nil)
	if err == nil && len(reports) > 0 {
		err = reports[0].Err
	}
	if err != nil && !absent(err) {
		return wrap(err, "remove network "+name)
	}
	if err := e.forget(ctx, bridgeName(name)); err != nil {
		return err
	}
	// Whose network it was may be gone: others may get its address.
	e.restraining.Lock()
	defer e.restraining.Unlock()
	if e.restrained != nil && !*e.restrained {
		return nil
	}
	return e.restrain(ctx)
}

// Networks implements daemon.Networks.
func (e *networkEngine) Networks(ctx context.Context) ([]daemon.Labelled, error) {
	c, err := e.call(ctx)
	if err != nil {
		return nil, err
	}
	list, err := network.List(c, new(network.ListOptions).WithFilters(e.filters(nil)))
	if err != nil {
		return nil, wrap(err, "list networks")
	}
	networks := make([]daemon.Labelled, 0, len(list))
	for _, n := range list {
		networks = append(networks, daemon.Labelled{Name: n.Name, Labels: n.Labels})
	}
	return networks, nil
}

// Connect implements daemon.Networks.
func (e *networkEngine) Connect(ctx context.Context, name, container string, aliases []string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	e.containers.fresh.Delete(container) // it has more networks than it was made with
	if err := e.isolate(ctx, bridgeName(name)); err != nil {
		return err
	}
	options := &types.PerNetworkOptions{Aliases: aliases}
	data, err := e.containers.inspect(ctx, container)
	if err != nil {
		return err
	}
	if data.Config != nil && daemon.OnlyAnswers(data.Config.Labels) {
		// It runs: it must be restrained from the first moment.
		options.StaticMAC = newAddress()
		e.restraining.Lock() // until it has the address: others would forget it
		defer e.restraining.Unlock()
		if err := e.restrain(ctx, net.HardwareAddr(options.StaticMAC).String()); err != nil {
			return err
		}
	}
	err = network.Connect(c, name, container, options)
	if err != nil && contains(err, "already connected") {
		err = nil
	}
	if err != nil {
		return wrap(err, "connect "+container+" to network "+name)
	}
	fixAddress(bridgeName(name))
	e.publish(ctx, name)
	return nil
}

// newAddress is a hardware address that nobody else has.
func newAddress() types.HardwareAddr {
	address := make(types.HardwareAddr, 6)
	_, _ = rand.Read(address)            // never fails
	address[0] = address[0]&^0x01 | 0x02 // of one machine, and locally administered
	return address
}

// Disconnect implements daemon.Networks.
func (e *networkEngine) Disconnect(ctx context.Context, name, container string) error {
	c, err := e.call(ctx)
	if err != nil {
		return err
	}
	err = network.Disconnect(c, name, container, nil)
	if err != nil && (absent(err) || contains(err, "not connected")) {
		return nil
	}
	if err == nil {
		e.withdraw(ctx, name, container)
	}
	return wrap(err, "disconnect "+container+" from network "+name)
}
