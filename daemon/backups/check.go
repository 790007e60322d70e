package backups

import (
	"context"
	"fmt"
	"slices"
	"time"

	"towline/daemon"
)

// Check tells whether an add-on's backups are what its schedule promises.
type Check struct {
	Addon    string    `json:"addon"`
	Schedule string    `json:"schedule,omitempty"`
	LastGood time.Time `json:"last_good,omitzero"`
	Problems []string  `json:"problems"`
}

// overdueAfter is how long a scheduled backup may take before it counts as missing.
const overdueAfter = time.Hour

// Check looks at the add-ons that the member may view, or at one.
func (sc *Schedules) Check(ctx context.Context, member, addon string) ([]Check, error) {
	visible, err := sc.Addons.VisibleAddons(ctx, member, "")
	if err != nil {
		return nil, err
	}
	schedules, err := daemon.Read(ctx, sc.Store, daemon.Tx.Schedules)
	if err != nil {
		return nil, err
	}
	list := []Check{}
	admin := sc.People.AllowedHost(ctx, member) == nil
	for _, a := range visible {
		if a.App == "" && !admin {
			continue // its owner's business
		}
		if addon != "" && a.Name != addon {
			continue
		}
		backups, err := daemon.Read(ctx, sc.Store, func(tx daemon.Tx) ([]daemon.Backup, error) { return daemon.BackupsOf(tx, a.Name) })
		if err != nil {
			return nil, err
		}
		var schedule *daemon.Schedule
		if i := slices.IndexFunc(schedules, func(s daemon.Schedule) bool { return s.Addon == a.Name }); i >= 0 {
			schedule = &schedules[i]
		}
		list = append(list, check(a.Name, schedule, backups, daemon.Now()))
	}
	return list, nil
}

func check(addon string, schedule *daemon.Schedule, backups []daemon.Backup, at time.Time) Check {
	c := Check{Addon: addon, Problems: []string{}}
	problem := func(format string, args ...any) { c.Problems = append(c.Problems, fmt.Sprintf(format, args...)) }
	for _, b := range backups {
		if b.Status == daemon.BackupGood {
			c.LastGood = b.Created
			break
		}
	}
	for _, b := range backups {
		if b.Status == daemon.BackupRunning {
			continue
		}
		if b.Status == daemon.BackupFailed {
			problem("the last one, %s, failed: %s", b.ID, b.Error)
		}
		break
	}
	for _, b := range backups {
		if at, text := OffsiteCopy(b); at.IsZero() && text != "" {
			problem("%s has no offsite copy: %s", b.ID, text)
		}
	}
	if schedule == nil {
		if c.LastGood.IsZero() {
			problem("there is no good one, and no schedule")
		}
		return c
	}
	c.Schedule = schedule.Cron + " " + schedule.Zone
	t, err := timesOf(*schedule)
	if err != nil {
		problem("its schedule: %v", err)
		return c
	}
	// The newest tick that was acted on, or that should have been. A new schedule had none.
	tick, _ := t.Due(schedule.Last, at.Add(-overdueAfter))
	if tick.IsZero() && t.Next(schedule.Last.Add(-time.Second)).Equal(schedule.Last) && at.Sub(schedule.Last) > overdueAfter {
		tick = schedule.Last
	}
	if !tick.IsZero() && c.LastGood.Before(tick) {
		problem("there is no good one since %s, when one was due", tick.In(t.Zone()).Format("2006-01-02 15:04 MST"))
	}
	return c
}
