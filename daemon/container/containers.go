// Package container has what every container of Towline's has in common, whatever runs in it:
// its name, its user ids, how it is created, stopped, removed and counted when it crashes.
package container

import (
	"context"
	"errors"
	"strconv"
	"time"

	"towline/daemon"
	"towline/daemon/handles"
)

// How long containers that are no longer wanted go on.
const (
	DrainBudget = 30 * time.Second // for requests of a target that was taken out
	StopGrace   = 30 * time.Second // from SIGTERM to SIGKILL, as on Heroku
)

// Containers are those of one installation.
type Containers struct {
	Name    string // of the installation: begins the name of everything it makes
	Engine  daemon.Engine
	Handles *handles.Handles
	Crashes Crashes
	ids     ids
}

// Create creates a container of an app's or an add-on's, under user ids of its own, in place
// of what a crash left under the same name.
func (cs *Containers) Create(ctx context.Context, spec daemon.ContainerSpec) error {
	if of := cs.owner(spec.Labels); of != "" {
		first, err := cs.idsOf(ctx, of)
		if err != nil {
			return err
		}
		// An app's process that has capabilities has them over ids of its own, whatever that costs.
		spec.IDMap, spec.IDMapIfCheap = first, len(spec.CapAdd) == 0 || spec.Labels[daemon.LabelAddon] != ""
		spec.Labels[daemon.LabelIDs] = strconv.FormatUint(uint64(first), 10)
	}
	err := cs.Engine.CreateContainer(ctx, spec)
	if daemon.IsKind(err, daemon.Exists) {
		if err = cs.Engine.RemoveContainer(ctx, spec.Name); err == nil {
			err = cs.Engine.CreateContainer(ctx, spec)
		}
	}
	return err
}

// StopAndRemove gives a container the time to end in order. Absent is no error.
func (cs *Containers) StopAndRemove(ctx context.Context, c daemon.Container) error {
	cs.Crashes.Forget(c.Name)
	if c.Paused {
		if err := cs.Engine.UnpauseContainer(ctx, c.Name); err != nil {
			return err
		}
	}
	if err := cs.Engine.StopContainer(ctx, c.Name, StopGrace); err != nil {
		return err
	}
	return cs.Engine.RemoveContainer(ctx, c.Name)
}

// RemoveWhere removes, without ceremony, the containers that match: those that never
// served.
func (cs *Containers) RemoveWhere(ctx context.Context, labels map[string]string, match func(daemon.Container) bool) error {
	list, err := cs.Engine.ContainerList(ctx, labels)
	if err != nil {
		return err
	}
	for _, c := range list {
		if match == nil || match(c) {
			cs.Crashes.Forget(c.Name)
			err = errors.Join(err, cs.Engine.RemoveContainer(ctx, c.Name))
		}
	}
	return err
}
