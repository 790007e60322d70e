package daemon

import "context"

// ReadLogs sends an app's last lines, and with q.Follow what comes after them until
// ctx ends.
func (d *Daemon) ReadLogs(ctx context.Context, q LogQuery, line func(LogLine) error) error {
	if _, err := d.App(ctx, q.App); err != nil {
		return err
	}
	return d.Logs.Read(ctx, q, line)
}
