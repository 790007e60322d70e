package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/backups"
)

func runBackupSchedule(ctx context.Context, call *Call) (Result, error) {
	addon := call.Args[0]
	keep, _ := call.Flags.GetString("keep")
	zone, _ := call.Flags.GetString("tz")
	// ssh hands the words over without the quotes that held the expression together.
	s := daemon.Schedule{Addon: addon, Cron: strings.Join(call.Args[1:], " "), Zone: zone, Keep: keep}
	info, err := call.Schedules.Set(ctx, s, call.Member)
	if err != nil {
		return Result{}, err
	}
	return show(info, func(w io.Writer) {
		fmt.Fprintf(w, "The first backup of %s is due %s; %s are kept\n", addon, due(info), info.Keep)
	})
}

func due(s backups.ScheduleInfo) string {
	next := s.Next
	if zone, err := time.LoadLocation(s.Zone); err == nil {
		next = next.In(zone)
	}
	return next.Format("2006-01-02 15:04 MST")
}

func runBackupSchedules(ctx context.Context, call *Call) (Result, error) {
	app, _ := call.Flags.GetString("app")
	list, err := call.Schedules.List(ctx, call.Member, app)
	if err != nil {
		return Result{}, err
	}
	return show(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintln(w, `No schedules. Make one: towline backups:schedule ADDON "0 3 * * *" --keep 7d,4w,6m`)
			return
		}
		table(w, func(row func(...any)) {
			row("ADDON", "SCHEDULE", "ZONE", "KEEP", "NEXT")
			for _, s := range list {
				row(s.Addon, s.Cron, s.Zone, s.Keep, due(s))
			}
		})
	})
}

func runBackupUnschedule(ctx context.Context, call *Call) (Result, error) {
	if err := call.Schedules.Remove(ctx, call.Args[0], call.Member); err != nil {
		return Result{}, err
	}
	return did(object{"addon": call.Args[0], "scheduled": false}, "Backups of %s are no longer taken by schedule; those taken stay", call.Args[0])
}

func runBackupCheck(ctx context.Context, call *Call) (Result, error) {
	addon := ""
	if len(call.Args) == 1 {
		addon = call.Args[0]
	}
	list, err := call.Schedules.Check(ctx, call.Member, addon)
	if err != nil {
		return Result{}, err
	}
	if host, asked, err := call.checkHost(ctx, addon); err != nil {
		return Result{}, err
	} else if asked {
		list = append(list, host)
	}
	res, err := show(list, func(w io.Writer) {
		for _, h := range list {
			if len(h.Problems) == 0 {
				fmt.Fprintf(w, "%s: good, last %s\n", h.Addon, ago(h.LastGood))
			}
			for _, p := range h.Problems {
				fmt.Fprintf(w, "%s: %s\n", h.Addon, p)
			}
		}
	})
	if slices.ContainsFunc(list, func(c backups.Check) bool { return len(c.Problems) > 0 }) {
		res.Code = 1
	}
	return res, err
}

// checkHost looks at the backups of the whole machine, for an administrator who asked for no
// add-on in particular, and where these were ever taken or are scheduled.
func (call *Call) checkHost(ctx context.Context, addon string) (c backups.Check, asked bool, err error) {
	h := call.table.host.Backups
	if addon != "" || h == nil || call.authorizeSubject(ctx, theHost()) != nil {
		return c, false, nil
	}
	r, err := h.Record()
	if err != nil || h.Plan.Cron == "" && r.Taken.IsZero() {
		return c, false, err
	}
	c = backups.Check{Addon: "the machine", Schedule: strings.TrimSpace(h.Plan.Cron + " " + h.Plan.Zone), LastGood: r.Taken}
	c.Problems, err = h.Problems(time.Now())
	return c, true, err
}
