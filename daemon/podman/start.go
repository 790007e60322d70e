package podman

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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
