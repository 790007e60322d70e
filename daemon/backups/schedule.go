package backups

import (
	"context"
	"errors"
	"fmt"
	"time"

	"towline/daemon"
	"towline/daemon/cron"
)

// ScheduleInfo is a schedule with its next tick.
type ScheduleInfo struct {
	daemon.Schedule
	Next time.Time `json:"next"`
}

// timesOf are those of a schedule's expression, in its zone.
func timesOf(s daemon.Schedule) (cron.Times, error) {
	const form = `minute, hour, day of the month, month, day of the week, like "0 3 * * *"`
	t, err := cron.Parse(s.Cron, s.Zone, daemon.Now())
	switch {
	case errors.Is(err, cron.ErrZoneWithin):
		return t, daemon.Errorf(daemon.Invalid, "the time zone stands in the schedule").WithHint("name it by --tz Europe/Berlin")
	case errors.Is(err, cron.ErrZone):
		return t, daemon.Errorf(daemon.Invalid, "there is no time zone %q", daemon.Clip(s.Zone)).WithHint("use a name like Europe/Berlin, or UTC")
	case errors.Is(err, cron.ErrNever):
		return t, daemon.Errorf(daemon.Invalid, "schedule %q never comes", daemon.Clip(s.Cron)).WithHint("%s", form)
	case err != nil:
		return t, daemon.Errorf(daemon.Invalid, "schedule %q: %w", daemon.Clip(s.Cron), err).WithHint("%s", form)
	}
	return t, nil
}

// Set has backups of an add-on taken at the times of a cron expression, and
// kept by a rule like "7d,4w,6m". It replaces the add-on's schedule.
func (sc *Schedules) Set(ctx context.Context, s daemon.Schedule, member string) (ScheduleInfo, error) {
	if s.Zone == "" {
		s.Zone = "UTC"
	}
	if _, err := ParseKeep(s.Keep); err != nil {
		return ScheduleInfo{}, err
	}
	t, err := timesOf(s)
	if err != nil {
		return ScheduleInfo{}, err
	}
	if t.TooOften() {
		return ScheduleInfo{}, daemon.Errorf(daemon.Invalid, "schedule %q comes more often than once a minute", daemon.Clip(s.Cron)).WithHint("give @every at least 1m")
	}
	addon, err := sc.Addons.Addon(ctx, s.Addon)
	if err != nil {
		return ScheduleInfo{}, err
	}
	s.Last = daemon.Now()
	err = sc.Store.Update(ctx, func(tx daemon.Tx) error {
		return errors.Join(tx.PutSchedule(s), tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.BackupScheduled, App: addon.App, Subject: s.Addon, Undo: "backups:unschedule " + s.Addon,
			Text: fmt.Sprintf("scheduled backups of %s: %s %s, keep %s", s.Addon, s.Cron, s.Zone, s.Keep)}))
	})
	sc.wakeSchedules()
	return ScheduleInfo{s, t.Next(s.Last)}, err
}

// Remove ends an add-on's scheduled backups. Those taken stay.
func (sc *Schedules) Remove(ctx context.Context, addon, member string) error {
	err := sc.Store.Update(ctx, func(tx daemon.Tx) error {
		if err := tx.DeleteSchedule(addon); err != nil {
			return err
		}
		a, err := tx.Addon(addon)
		if err != nil {
			return err
		}
		return tx.RecordActivity(daemon.Activity{Time: daemon.Now(), Member: member, Kind: daemon.BackupUnscheduled, App: a.App, Subject: addon, Text: "ended the scheduled backups of " + addon})
	})
	sc.wakeSchedules()
	return err
}

// List lists those of the add-ons that the member may view.
func (sc *Schedules) List(ctx context.Context, member, app string) ([]ScheduleInfo, error) {
	visible, err := sc.Addons.VisibleAddons(ctx, member, app)
	if err != nil {
		return nil, err
	}
	all, err := daemon.Read(ctx, sc.Store, daemon.Tx.Schedules)
	list := []ScheduleInfo{}
	for _, s := range all {
		for _, a := range visible {
			if a.Name == s.Addon {
				t, terr := timesOf(s)
				if terr != nil {
					return nil, terr
				}
				list = append(list, ScheduleInfo{s, t.Next(daemon.Now())})
			}
		}
	}
	return list, err
}

func (sc *Schedules) wakeSchedules() {
	select {
	case sc.wake <- struct{}{}:
	default:
	}
}

// scheduleRest is the longest time between two looks at the clock, which may jump.
const scheduleRest = 30 * time.Second

// lateAfter is how late a tick may be acted on before that is said.
const lateAfter = 5 * time.Minute

// Run takes the scheduled backups until ctx ends. Ticks that were missed while
// the machine was off are made up for by one backup, and said.
func (sc *Schedules) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := scheduleRest
		schedules, err := daemon.Read(ctx, sc.Store, daemon.Tx.Schedules)
		if err != nil && ctx.Err() == nil {
			sc.Log.Error("backup schedules", "err", err)
		}
		for _, s := range schedules {
			t, err := timesOf(s)
			if err != nil {
				sc.Log.Error("backup schedule", "addon", s.Addon, "err", err)
				continue
			}
			daemon.Attempt("a backup schedule", func() {
				sc.tick(ctx, s, t)
				if next := t.Next(daemon.Now()); !next.IsZero() {
					wait = min(wait, max(time.Until(next), time.Millisecond))
				}
			})
		}
		select {
		case <-time.After(wait):
		case <-sc.wake:
		case <-ctx.Done():
		}
	}
}

// tick starts the backup that is due, unless the one before still runs.
func (sc *Schedules) tick(ctx context.Context, s daemon.Schedule, t cron.Times) {
	at := daemon.Now()
	tick, missed := t.Due(s.Last, at)
	if tick.IsZero() {
		return
	}
	// Recorded first: a backup that takes the daemon down must not do so for ever.
	s.Last = tick
	if err := sc.Store.Update(ctx, func(tx daemon.Tx) error { return tx.PutSchedule(s) }); err != nil {
		sc.Log.Error("backup schedule", "addon", s.Addon, "err", err)
		return
	}
	if late := at.Sub(tick); missed > 0 || late > lateAfter {
		sc.Addons.Say(ctx, s.Addon, "backup: the one scheduled for %s was missed%s; taking it now",
			tick.In(t.Zone()).Format("2006-01-02 15:04 MST"), also(missed))
	}
	sc.mu.Lock()
	busy := sc.running[s.Addon]
	sc.running[s.Addon] = true
	sc.mu.Unlock()
	if busy {
		sc.Addons.Say(ctx, s.Addon, "backup: skipped, as the one before is not done yet")
		return
	}
	sc.Life.Go(func(ctx context.Context) {
		defer func() {
			sc.mu.Lock()
			delete(sc.running, s.Addon)
			sc.mu.Unlock()
		}()
		sc.scheduledBackup(ctx, s, t.Zone())
	})
}

func also(missed int) string {
	if missed == 0 {
		return ""
	}
	return fmt.Sprintf(", with %d before it", missed)
}

// scheduledBackup takes one, says aloud if that failed, and deletes what has expired.
func (sc *Schedules) scheduledBackup(ctx context.Context, s daemon.Schedule, zone *time.Location) {
	b, err := sc.backups.Capture(ctx, s.Addon, "", daemon.ReasonSchedule, nil)
	switch {
	case ctx.Err() != nil || daemon.IsKind(err, daemon.NotFound):
		return // shutting down, which the next start says; or destroyed
	case err != nil:
		sc.Addons.Say(ctx, s.Addon, "backup: FAILED: %v", err)
		if b.ID == "" {
			sc.recordRefusal(ctx, s.Addon, err)
		}
		return
	}
	if err := sc.prune(ctx, s, zone); err != nil {
		sc.Addons.Say(ctx, s.Addon, "backup: expired ones could not be deleted: %v", err)
	}
}

// recordRefusal puts a scheduled backup that could not even begin into the listing.
func (sc *Schedules) recordRefusal(ctx context.Context, name string, cause error) {
	err := sc.Store.Update(ctx, func(tx daemon.Tx) error {
		addon, err := tx.Addon(name)
		if err != nil {
			return err
		}
		return tx.InsertBackup(daemon.Backup{ID: backupID(name, daemon.Now()), Addon: name, App: addon.App, Service: addon.Service, Version: addon.Version,
			Status: daemon.BackupFailed, Reason: daemon.ReasonSchedule, Created: daemon.Now(), Finished: daemon.Now(), Error: cause.Error()})
	})
	if err != nil {
		sc.Log.Error("record a failed backup", "addon", name, "err", err)
	}
}

func (sc *Schedules) prune(ctx context.Context, s daemon.Schedule, zone *time.Location) error {
	keep, err := ParseKeep(s.Keep)
	if err != nil {
		return err
	}
	all, err := daemon.Read(ctx, sc.Store, func(tx daemon.Tx) ([]daemon.Backup, error) { return daemon.BackupsOf(tx, s.Addon) })
	for _, b := range keep.Expired(all, zone) {
		err = errors.Join(err, sc.backups.Delete(ctx, b.ID, ""))
	}
	return err
}
