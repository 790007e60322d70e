package backups

import (
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon"
)

func TestParseKeep(t *testing.T) {
	for text, want := range map[string]Keep{
		"7d":           {Days: 7},
		"7d,4w,6m":     {Days: 7, Weeks: 4, Months: 6},
		" 6m , 2y,1d ": {Days: 1, Months: 6, Years: 2},
	} {
		if got, err := ParseKeep(text); err != nil || got != want {
			t.Errorf("ParseKeep(%q) = %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "7", "0d", "-1d", "7d,", "7d,3d", "7h", "7 d", "1001d", "7d;4w", "99999999999999999999d"} {
		if _, err := ParseKeep(text); !daemon.IsKind(err, daemon.Invalid) {
			t.Errorf("ParseKeep(%q) is taken: %v", text, err)
		}
	}
}

func TestExpired(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	// A backup is its time in the zone, with marks: ! failed, ~ running, m by hand.
	parse := func(text string, zone *time.Location) daemon.Backup {
		b := daemon.Backup{ID: text, Status: daemon.BackupGood, Reason: daemon.ReasonSchedule}
		stamp := strings.TrimRight(text, "!~m")
		switch text[len(stamp):] {
		case "!":
			b.Status = daemon.BackupFailed
		case "~":
			b.Status = daemon.BackupRunning
		case "m":
			b.Reason = "manual"
		}
		at, err := time.ParseInLocation("2006-01-02 15:04", stamp, zone)
		if err != nil {
			t.Fatal(err)
		}
		b.Created = at.UTC()
		return b
	}
	for _, c := range []struct {
		name    string
		keep    string
		zone    *time.Location
		backups []string
		expired []string
	}{
		{"none", "7d", time.UTC, nil, nil},
		{"the last good one stays whatever its age", "1d", time.UTC,
			[]string{"2001-01-01 03:00", "2026-01-01 03:00!", "2026-01-02 03:00!"}, nil},
		{"only days that have one count", "2d", time.UTC,
			[]string{"2026-01-01 03:00", "2026-02-01 03:00", "2026-03-01 03:00"}, []string{"2026-01-01 03:00"}},
		{"the newest of a day stands for it", "2d", time.UTC,
			[]string{"2026-01-01 03:00", "2026-01-01 09:00", "2026-01-02 03:00"}, []string{"2026-01-01 03:00"}},
		{"failed ones use no day up, and three stay", "2d", time.UTC,
			[]string{"2026-01-01 03:00", "2026-01-02 03:00!", "2026-01-03 03:00!", "2026-01-04 03:00!", "2026-01-05 03:00!", "2026-01-06 03:00"},
			[]string{"2026-01-02 03:00!"}},
		{"what was asked for stays, and so does what runs", "1d", time.UTC,
			[]string{"2020-01-01 03:00m", "2026-01-01 03:00~", "2026-01-02 03:00", "2026-01-03 03:00"}, []string{"2026-01-02 03:00"}},
		{"weeks and months", "1d,2w,2m", time.UTC,
			// 2026-03-02 is a Monday.
			[]string{"2026-01-31 03:00", "2026-02-22 03:00", "2026-02-27 03:00", "2026-02-28 03:00", "2026-03-01 03:00", "2026-03-02 03:00"},
			[]string{"2026-01-31 03:00", "2026-02-22 03:00", "2026-02-27 03:00"}},
		{"a week over the turn of the year is one", "2w", time.UTC,
			[]string{"2025-12-28 03:00", "2025-12-29 03:00", "2026-01-01 03:00"}, []string{"2025-12-29 03:00"}},
		{"a day of 23 hours", "2d", berlin,
			[]string{"2026-03-28 23:30", "2026-03-29 00:30", "2026-03-29 23:30", "2026-03-30 00:30"},
			[]string{"2026-03-28 23:30", "2026-03-29 00:30"}},
		{"a day of 25 hours", "2d", berlin,
			[]string{"2026-10-24 23:30", "2026-10-25 00:30", "2026-10-25 23:30", "2026-10-26 00:30"},
			[]string{"2026-10-24 23:30", "2026-10-25 00:30"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			keep, err := ParseKeep(c.keep)
			if err != nil {
				t.Fatal(err)
			}
			var backups []daemon.Backup
			for _, text := range c.backups {
				backups = append(backups, parse(text, c.zone))
			}
			var got []string
			for _, b := range keep.Expired(backups, c.zone) {
				got = append(got, b.ID)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.expired) {
				t.Errorf("expired: %q, want %q", got, c.expired)
			}
		})
	}
}
