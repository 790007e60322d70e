package hostbackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"towline/daemon"
	"towline/daemon/cron"
)

// Plan says when the machine backs itself up, and where to. The zero value is never.
type Plan struct {
	Cron, Zone string // as crontab(5) has it; empty: never
	To         string // a directory, of another disk or of a share; or ToOffsite
	Keep       int    // how many of its backups stay
}

// scheduleRest is the longest time between two looks at the clock, which may jump.
const scheduleRest = 30 * time.Second

// overdueAfter is how long a scheduled backup may take before it counts as missing.
const overdueAfter = 6 * time.Hour

// Check tells what is wrong with a plan, in words; one that is never is right.
func (p Plan) Check() error {
	if p.Cron == "" {
		return nil
	}
	if _, err := cron.Parse(p.Cron, p.Zone, time.Now()); err != nil {
		return fmt.Errorf("backup.schedule %q: %w", p.Cron, err)
	}
	if !filepath.IsAbs(p.To) && p.To != ToOffsite {
		return fmt.Errorf("backup.to is %q: name the directory that scheduled backups go to, by its full path, or %q", p.To, ToOffsite)
	}
	if p.Keep < 1 {
		return fmt.Errorf("backup.keep is %d: at least 1", p.Keep)
	}
	return nil
}

// Run takes the planned backups until ctx ends, and tries each by restoring it. Times that
// were missed while the machine was off are made up for by one.
func (h *Host) Run(ctx context.Context, log *slog.Logger) {
	times, err := cron.Parse(h.Plan.Cron, h.Plan.Zone, time.Now())
	if h.Plan.Cron == "" || err != nil {
		return // Check has said it
	}
	for ctx.Err() == nil {
		daemon.Attempt("a scheduled backup of the machine", func() {
			if err := h.tick(ctx, times, time.Now()); err != nil && ctx.Err() == nil {
				log.Error("a scheduled backup of the machine failed", "err", err)
			}
		})
		wait := scheduleRest
		if next := times.Next(time.Now()); !next.IsZero() {
			wait = min(wait, max(time.Until(next), time.Millisecond))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// tick takes the backup that is due, if one is.
func (h *Host) tick(ctx context.Context, times cron.Times, now time.Time) error {
	r, err := h.Record()
	if err != nil || r.Plan != h.Plan.Cron+" "+h.Plan.Zone {
		// A new plan begins now.
		return h.record(func(r *Record) { r.Plan, r.Due = h.Plan.Cron+" "+h.Plan.Zone, now.UTC() })
	}
	due, _ := times.Due(r.Due, now)
	if due.IsZero() {
		return nil
	}
	// Recorded first: a backup that takes the daemon down must not do so for ever.
	if err := h.record(func(r *Record) { r.Due = due }); err != nil {
		return err
	}
	return h.planned(ctx, now)
}

// planned takes a backup, tries it, and deletes older ones once it is good.
func (h *Host) planned(ctx context.Context, now time.Time) error {
	if h.Plan.To == ToOffsite {
		_, err := h.Send(ctx, Request{}, h.Plan.Keep)
		return err
	}
	path := filepath.Join(h.Plan.To, h.prefix()+now.UTC().Format("20060102T150405Z")+fileEnd)
	if _, err := h.File(ctx, path, Request{}); err != nil {
		return err
	}
	if err := h.tryFile(ctx, path, Unlock{}, nil); err != nil {
		return err
	}
	return h.prune()
}

// tryFile restores a backup that was just taken to try it. That it failed is remembered.
func (h *Host) tryFile(ctx context.Context, path string, u Unlock, out io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := h.Try(ctx, f, u, out); err != nil {
		if ctx.Err() != nil {
			return err // stopped: that says nothing of the backup
		}
		err = fmt.Errorf("%s could not be restored: %w", path, err)
		return errors.Join(err, h.record(func(r *Record) { r.Error = err.Error() }))
	}
	return nil
}

const fileEnd = ".towline.age"

func (h *Host) prefix() string { return h.Name + "-" }

// prune deletes the plan's files but the newest.
func (h *Host) prune() error {
	entries, err := os.ReadDir(h.Plan.To)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		stamp, ok := strings.CutSuffix(e.Name(), fileEnd)
		stamp, begins := strings.CutPrefix(stamp, h.prefix())
		if _, err := time.Parse("20060102T150405Z", stamp); ok && begins && err == nil && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names) // by their times
	for len(names) > h.Plan.Keep {
		err = errors.Join(err, os.Remove(filepath.Join(h.Plan.To, names[0])))
		names = names[1:]
	}
	return err
}

// Problems are what is wrong with the backups of the machine, in words: a plan that is not
// kept, and a last one that failed.
func (h *Host) Problems(now time.Time) ([]string, error) {
	r, err := h.Record()
	if err != nil {
		return nil, err
	}
	problems := []string{}
	if r.Error != "" {
		problems = append(problems, "the last one failed: "+r.Error)
	}
	if h.Plan.Cron == "" {
		if r.Taken.IsZero() {
			problems = append(problems, "there was never one, and none is scheduled")
		}
		return problems, nil
	}
	times, err := cron.Parse(h.Plan.Cron, h.Plan.Zone, now)
	if err != nil {
		return problems, err
	}
	if due, _ := times.Due(r.Due, now.Add(-overdueAfter)); !due.IsZero() {
		problems = append(problems, "that of "+due.Format("2006-01-02 15:04 MST")+" was not taken")
	}
	return problems, nil
}
