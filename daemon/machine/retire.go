package machine

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"towline/daemon"
)

// retire stops and removes all of stop: web processes once they are drained, others at
// once. What is gone already is no error.
func (d *Daemon) retire(ctx context.Context, app string, stop []daemon.Container) error {
	var web, others []daemon.Container
	for _, c := range stop {
		if c.Labels[daemon.LabelProcess] == "web" {
			web = append(web, c)
		} else {
			others = append(others, c)
		}
	}
	var g errgroup.Group
	g.Go(func() (err error) {
		defer daemon.Contain("the end of old processes", &err)
		return d.stopAll(ctx, others)
	})
	g.Go(func() (err error) {
		defer daemon.Contain("the end of old processes", &err)
		if len(web) == 0 {
			return nil
		}
		if err := d.Router.Drain(ctx, app, drainBudget); err != nil {
			return err
		}
		return d.stopAll(ctx, web)
	})
	return g.Wait()
}

func (d *Daemon) stopAll(ctx context.Context, list []daemon.Container) error {
	var g errgroup.Group
	g.SetLimit(4)
	for _, c := range list {
		g.Go(func() (err error) {
			defer daemon.Contain("the end of old processes", &err)
			return d.stopAndRemove(ctx, c)
		})
	}
	return g.Wait()
}

func (d *Daemon) stopAndRemove(ctx context.Context, c daemon.Container) error {
	d.crashes.forget(c.Name)
	if c.Paused {
		if err := d.Engine.UnpauseContainer(ctx, c.Name); err != nil {
			return err
		}
	}
	if err := d.Engine.StopContainer(ctx, c.Name, stopGrace); err != nil {
		return err
	}
	return d.Engine.RemoveContainer(ctx, c.Name)
}

// removeWhere removes, without ceremony, the containers that match: those that never
// served.
func (d *Daemon) removeWhere(ctx context.Context, labels map[string]string, match func(daemon.Container) bool) error {
	list, err := d.Engine.ContainerList(ctx, labels)
	if err != nil {
		return err
	}
	for _, c := range list {
		if match == nil || match(c) {
			d.crashes.forget(c.Name)
			err = errors.Join(err, d.Engine.RemoveContainer(ctx, c.Name))
		}
	}
	return err
}
