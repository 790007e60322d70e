package cron

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSundayIsSeven: crontab(5) takes 7 as well as 0. The second day of 2026 is a Friday.
func TestSundayIsSeven(t *testing.T) {
	for field, days := range map[string]string{
		"7": "4", "0": "4", "1,7": "4 5", "6-7": "3 4", "5-7": "2 3 4", "7-7": "4", "0-7": "2 3 4 5 6 7 8",
		"1-7/2": "2 4 5 7", "2-7/2": "3 6 8", "1-7/3": "4 5 8", "fri-7": "2 3 4", "*": "2 3 4 5 6 7 8", "*/7": "4",
	} {
		times, err := Parse("0 3 * * "+field, "UTC", time.Now())
		if err != nil {
			t.Errorf("%q: %v", field, err)
			continue
		}
		var got []string
		for at := times.Next(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)); at.Day() < 9; at = times.Next(at) {
			got = append(got, fmt.Sprint(at.Day()))
		}
		if strings.Join(got, " ") != days {
			t.Errorf("%q comes on %v, want %s", field, got, days)
		}
	}
	for _, field := range []string{"8", "7-8", "7-1", "1-7/0", "1-7/x", "77"} {
		if _, err := Parse("0 3 * * "+field, "UTC", time.Now()); err == nil {
			t.Errorf("%q is taken: %v", field, err)
		}
	}
}

func TestEveryHasAFloor(t *testing.T) {
	for every, often := range map[string]bool{"1s": true, "59s": true, "1m": false, "90s": false, "24h": false} {
		times, err := Parse("@every "+every, "UTC", time.Now())
		if err != nil || times.TooOften() != often {
			t.Errorf("@every %s is too often: %v, want %v (%v)", every, times.TooOften(), often, err)
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
			times, err := Parse(c.cron, c.zone, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			tick, missed := times.Due(utc(c.last), utc(c.at))
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

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		expression, zone string
		want             error
	}{
		{"TZ=UTC 0 3 * * *", "UTC", ErrZoneWithin},
		{"0 3 * * *", "Mars/Olympus", ErrZone},
		{"0 3 * * *", "Local", ErrZone},
		{"0 3 * * *", "../../etc/passwd", ErrZone},
		{"0 0 30 2 *", "UTC", ErrNever},
	} {
		if _, err := Parse(c.expression, c.zone, time.Now()); !errors.Is(err, c.want) {
			t.Errorf("%q in %q: got %v, want %v", c.expression, c.zone, err, c.want)
		}
	}
}
