// Package podman runs Towline's containers on Podman, through its API socket. It
// implements daemon.Engine for services from 4.3 on.
package podman

import (
	"context"
	"net/url"

	"towline/daemon"
)

// Label is on every object of Towline's; its value is the installation's name.
const Label = "towline"

// Options say which Podman to use, and in whose name.
type Options struct {
	Address string            // of the API socket, unix:///run/podman/podman.sock
	Name    string            // of the installation
	Images  map[string]string // references to replace by others before use
	// PublicPorts are those of the host that everyone reaches, and so containers too.
	PublicPorts []int
}

// Engine is a daemon.Engine, of a part for each noun of it. It connects when first used and
// again after Podman was away. What is its own is how a container comes to run, which takes
// all of them.
type Engine struct {
	*client
	*host
	*imageEngine
	*volumeEngine
	*containerEngine
	*execEngine
	*networkEngine
}

var _ daemon.Engine = (*Engine)(nil)

// New does not need Podman to answer yet. It fails only on an unusable address.
// ctx is for the first attempt to connect alone.
func New(ctx context.Context, options Options) (*Engine, error) {
	address, err := url.Parse(options.Address)
	if err != nil || address.Scheme != "unix" || address.Path == "" {
		return nil, daemon.Errorf(daemon.Invalid, "podman address %q is not a unix socket", options.Address).
			WithHint("use unix:///run/podman/podman.sock")
	}
	c := &client{socket: address.Path, name: options.Name}
	containers := &containerEngine{client: c, halfMade: halfMade{young: makingLimit}}
	e := &Engine{
		client:          c,
		host:            &host{client: c},
		imageEngine:     &imageEngine{client: c, replaced: replacements(options.Images), naming: make(chan struct{}, 1)},
		volumeEngine:    &volumeEngine{c},
		containerEngine: containers,
		execEngine:      &execEngine{c},
		networkEngine: &networkEngine{
			client: c, containers: containers,
			firewall: &firewall{client: c, containers: containers, publicPorts: options.PublicPorts},
		},
	}
	// The service may be socket-activated later than the daemon: callers find out.
	_, _ = e.call(ctx)
	return e, nil
}
