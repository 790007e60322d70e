package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestScheduleIsChecked(t *testing.T) {
	for _, s := range []Schedule{
		{Cron: "", Zone: "UTC"}, {Cron: "* * * *", Zone: "UTC"}, {Cron: "61 * * * *", Zone: "UTC"},
		{Cron: "0 0 30 2 *", Zone: "UTC"}, {Cron: "0 3 * * *", Zone: "Mars/Olympus"}, {Cron: "0 3 * * *", Zone: "Local"},
		{Cron: "0 3 * * *", Zone: "../../etc/passwd"}, {Cron: "TZ=UTC 0 3 * * *", Zone: "UTC"}, {Cron: "@never", Zone: "UTC"},
	} {
		if _, err := s.timing(); !isKind(err, Invalid) {
			t.Errorf("%+v is taken: %v", s, err)
		}
	}
}

// TestSundayIsSeven: crontab(5) takes 7 as well as 0. The second day of 2026 is a Friday.
func TestSundayIsSeven(t *testing.T) {
	for field, days := range map[string]string{
		"7": "4", "0": "4", "1,7": "4 5", "6-7": "3 4", "5-7": "2 3 4", "7-7": "4", "0-7": "2 3 4 5 6 7 8",
		"1-7/2": "2 4 5 7", "2-7/2": "3 6 8", "1-7/3": "4 5 8", "fri-7": "2 3 4", "*": "2 3 4 5 6 7 8", "*/7": "4",
	} {
		s, err := Schedule{Cron: "0 3 * * " + field, Zone: "UTC"}.timing()
		if err != nil {
			t.Errorf("%q: %v", field, err)
			continue
		}
		var got []string
		for at := s.next(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)); at.Day() < 9; at = s.next(at) {
			got = append(got, fmt.Sprint(at.Day()))
		}
		if strings.Join(got, " ") != days {
			t.Errorf("%q comes on %v, want %s", field, got, days)
		}
	}
	for _, field := range []string{"8", "7-8", "7-1", "1-7/0", "1-7/x", "77"} {
		if _, err := (Schedule{Cron: "0 3 * * " + field, Zone: "UTC"}).timing(); !isKind(err, Invalid) {
			t.Errorf("%q is taken: %v", field, err)
		}
	}
}

func TestEveryHasAFloor(t *testing.T) {
	for every, often := range map[string]bool{"1s": true, "59s": true, "1m": false, "90s": false, "24h": false} {
		s, err := Schedule{Cron: "@every " + every, Zone: "UTC"}.timing()
		if err != nil || s.tooOften() != often {
			t.Errorf("@every %s is too often: %v, want %v (%v)", every, s.tooOften(), often, err)
		}
	}
}

func TestDue(t *testing.T) {
	utc := func(text string) time.Time {
		at, err := time.Parse("2006-01-02 15:04:05", text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, c := range []struct {
		name, cron, zone, last, at string
		tick                       string // empty: none
		missed                     int
	}{
		{"not yet", "0 3 * * *", "UTC", "2026-01-01 03:00:00", "2026-01-02 02:59:59", "", 0},
		{"now", "0 3 * * *", "UTC", "2026-01-01 03:00:00", "2026-01-02 03:00:00", "2026-01-02 03:00:00", 0},
		{"off for three days", "0 3 * * *", "UTC", "2026-01-01 03:00:00", "2026-01-04 12:00:00", "2026-01-04 03:00:00", 2},
		{"in winter", "0 3 * * *", "Europe/Berlin", "2026-01-01 02:00:00", "2026-01-02 02:00:01", "2026-01-02 02:00:00", 0},
		{"in summer", "0 3 * * *", "Europe/Berlin", "2026-07-01 01:00:00", "2026-07-02 01:00:01", "2026-07-02 01:00:00", 0},
		// On 2026-03-29 Berlin has no half past two: that day has no tick.
		{"the hour that is left out", "30 2 * * *", "Europe/Berlin", "2026-03-28 01:30:00", "2026-03-30 00:29:59", "", 0},
		{"the day after it", "30 2 * * *", "Europe/Berlin", "2026-03-28 01:30:00", "2026-03-30 00:30:00", "2026-03-30 00:30:00", 0},
		// On 2026-10-25 Berlin has half past two twice, and so has the schedule.
		{"the hour that comes twice", "30 2 * * *", "Europe/Berlin", "2026-10-24 00:30:00", "2026-10-25 23:00:00", "2026-10-25 01:30:00", 1},
		{"a year of minutes", "* * * * *", "UTC", "2025-01-01 00:00:00", "2026-01-01 00:00:30", "2026-01-01 00:00:00", 525599},
		{"a clock set back", "0 3 * * *", "UTC", "2026-01-02 03:00:00", "2026-01-01 12:00:00", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Schedule{Cron: c.cron, Zone: c.zone}.timing()
			if err != nil {
				t.Fatal(err)
			}
			tick, missed := s.due(utc(c.last), utc(c.at))
			var want time.Time
			if c.tick != "" {
				want = utc(c.tick)
			}
			if !tick.Equal(want) || missed != c.missed {
				t.Errorf("due: %s with %d missed, want %s with %d", tick, missed, want, c.missed)
			}
		})
	}
}
