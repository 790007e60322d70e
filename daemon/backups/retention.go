package backups

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"towline/daemon"
)

// Keep says how many backups a schedule leaves: the newest good one of each of so many
// days, weeks, months and years that have one. A backup may stand for several of them.
type Keep struct{ Days, Weeks, Months, Years int }

// keepHint tells the form of --keep.
const keepHint = "use numbers of days, weeks, months and years, like 7d,4w,6m"

// ParseKeep reads "7d,4w,6m". Each unit comes at most once, and one at least.
func ParseKeep(text string) (Keep, error) {
	var k Keep
	bad := daemon.Errorf(daemon.Invalid, "--keep %q is not a rule", daemon.Clip(text)).WithHint(keepHint)
	for _, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			return k, bad
		}
		n, err := strconv.Atoi(part[:len(part)-1])
		unit := map[byte]*int{'d': &k.Days, 'w': &k.Weeks, 'm': &k.Months, 'y': &k.Years}[part[len(part)-1]]
		if err != nil || unit == nil || n < 1 || n > 1000 || *unit != 0 {
			return k, bad
		}
		*unit = n
	}
	return k, nil
}

// failedKept is how many failed scheduled backups stay for inspection.
const failedKept = 3

// Expired returns those of an add-on's backups that its schedule no longer keeps. Only
// what the schedule took counts: a backup that someone asked for, or a safety backup,
// stays until someone deletes it. The newest good one is never in the answer, whatever
// the rule and however old it is. Days begin at midnight in zone, weeks on Monday.
func (k Keep) Expired(backups []daemon.Backup, zone *time.Location) []daemon.Backup {
	ours := slices.DeleteFunc(slices.Clone(backups), func(b daemon.Backup) bool {
		return b.Reason != daemon.ReasonSchedule || b.Status == daemon.BackupRunning
	})
	slices.SortStableFunc(ours, func(a, b daemon.Backup) int { return b.Created.Compare(a.Created) })
	kept := map[string]bool{}
	rules := []struct {
		n      int
		period func(time.Time) string
	}{
		{k.Days, func(t time.Time) string { return t.Format(time.DateOnly) }},
		{k.Weeks, func(t time.Time) string { year, week := t.ISOWeek(); return fmt.Sprint(year, week) }},
		{k.Months, func(t time.Time) string { return t.Format("2006-01") }},
		{k.Years, func(t time.Time) string { return t.Format("2006") }},
		{1, func(time.Time) string { return "" }}, // the newest of all
	}
	for _, rule := range rules {
		seen := map[string]bool{}
		for _, b := range ours {
			period := rule.period(b.Created.In(zone))
			if b.Status == daemon.BackupGood && !seen[period] && len(seen) < rule.n {
				seen[period], kept[b.ID] = true, true
			}
		}
	}
	failed := 0
	return slices.DeleteFunc(ours, func(b daemon.Backup) bool {
		if b.Status == daemon.BackupFailed {
			failed++
			return failed <= failedKept
		}
		return kept[b.ID]
	})
}
