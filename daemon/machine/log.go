package machine

import (
	"context"
	"time"

	"towline/daemon"
)

// ReadLogs sends an app's last lines, and with q.Follow what comes after them until
// ctx ends.
func (d *Daemon) ReadLogs(ctx context.Context, q daemon.LogQuery, line func(daemon.LogLine) error) error {
	if _, err := d.App(ctx, q.App); err != nil {
		return err
	}
	return d.Logs.Read(ctx, q, line)
}

// PruneLogs keeps the logs within their bounds until ctx ends.
func (d *Daemon) PruneLogs(ctx context.Context) {
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

func (d *Daemon) pruneLogs(ctx context.Context) error {
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
