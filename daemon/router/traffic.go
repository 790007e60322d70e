package router

import (
	"context"
	"time"

	"towline/daemon"
)

var _ daemon.TrafficCounter = (*Router)(nil)

// Traffic implements daemon.TrafficCounter.
func (r *Router) Traffic(ctx context.Context, mark string, wait time.Duration) (daemon.TrafficReport, error) {
	ctx, cancel := r.limited(ctx, wait)
	defer cancel()
	report, err := r.proxy.Traffic(ctx, mark, wait)
	if err != nil {
		return daemon.TrafficReport{}, translate(err)
	}
	out := daemon.TrafficReport{Mark: report.Mark}
	for _, t := range report.Services {
		out.Apps = append(out.Apps, daemon.Traffic{App: t.Service, Began: t.Began, Status: t.Status, In: t.In, Out: t.Out, WebSockets: t.WebSockets, Took: t.Took, First: t.First})
	}
	return out, nil
}
