package machine

import (
	"context"
	"time"

	"towline/daemon"
)

// Loops are what goes on for as long as the machine does, each until its context ends.
func (m *Machine) Loops() []func(context.Context) {
	return []func(context.Context){
		m.watchContainers, m.pruneLogsOften, m.Routes.WatchCertificates, m.Schedules.Run, m.Copies.Run, m.Pages.Run, m.Metrics.Run,
	}
}

func (m *Machine) watchContainers(ctx context.Context) {
	if err := m.Supervisor.Run(ctx); err != nil && ctx.Err() == nil {
		m.Log.Error("supervise", "err", err)
	}
}

// pruneLogsOften keeps the logs within their bounds until ctx ends.
func (d *Machine) pruneLogsOften(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := daemon.Try("the pruning of logs", func() error { return d.pruneLogs(ctx) }); err != nil && ctx.Err() == nil {
			d.Log.Error("prune logs", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (d *Machine) pruneLogs(ctx context.Context) error {
	if err := d.Tests.Sweep(ctx); err != nil {
		return err
	}
	list, err := d.Engine.ContainerList(ctx, nil)
	if err != nil {
		return err
	}
	var live []string
	for _, c := range list {
		live = append(live, c.Name)
	}
	return d.Logs.Prune(live)
}
