package apps

import (
	"context"

	"golang.org/x/sync/errgroup"

	"towline/daemon"
	"towline/daemon/container"
)

// retire stops and removes all of stop: web processes once they are drained, others at
// once. What is gone already is no error.
func (ps *Processes) retire(ctx context.Context, app string, stop []daemon.Container) error {
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
		return ps.stopAll(ctx, others)
	})
	g.Go(func() (err error) {
		defer daemon.Contain("the end of old processes", &err)
		if len(web) == 0 {
			return nil
		}
		if err := ps.Router.Drain(ctx, app, container.DrainBudget); err != nil {
			return err
		}
		return ps.stopAll(ctx, web)
	})
	return g.Wait()
}

func (ps *Processes) stopAll(ctx context.Context, list []daemon.Container) error {
	var g errgroup.Group
	g.SetLimit(4)
	for _, c := range list {
		g.Go(func() (err error) {
			defer daemon.Contain("the end of old processes", &err)
			return ps.Containers.StopAndRemove(ctx, c)
		})
	}
	return g.Wait()
}
