package hostbackup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"towline/daemon/cron"
)

// TestPlan: at its times the machine is backed up, what came of that is tried, and so many
// files stay; files of others do.
func TestPlan(t *testing.T) {
	b := newBench(t, false)
	to := t.TempDir()
	b.Keys.Recipients = []string{b.to}
	b.Plan = Plan{Cron: "30 4 * * *", Zone: "Europe/Berlin", To: to, Keep: 2}
	if err := b.Plan.Check(); err != nil {
		t.Fatal(err)
	}
	times, err := cron.Parse(b.Plan.Cron, b.Plan.Zone, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"mine.towline.age", "towline-mine.towline.age", "towline2-20200101T000000Z.towline.age"} {
		if err := os.WriteFile(filepath.Join(to, other), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ours := func() (names []string) {
		entries, err := os.ReadDir(to)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "towline-2026") {
				names = append(names, strings.TrimSuffix(strings.TrimPrefix(e.Name(), "towline-"), ".towline.age"))
			}
		}
		return names
	}
	begun := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		after time.Duration
		want  []string
	}{
		{0, nil},              // the plan is new: nothing was missed
		{15 * time.Hour, nil}, // 03:00 UTC
		{16 * time.Hour, []string{"20261121T040000Z"}},
		{17 * time.Hour, []string{"20261121T040000Z"}},
		{24*time.Hour*5 + 16*time.Hour, []string{"20261121T040000Z", "20261126T040000Z"}}, // it was off: one for all
		{24*time.Hour*6 + 16*time.Hour, []string{"20261126T040000Z", "20261127T040000Z"}},
	} {
		if err := b.tick(t.Context(), times, begun.Add(step.after)); err != nil {
			t.Fatal(err)
		}
		if got := ours(); !slices.Equal(got, step.want) {
			t.Errorf("after %s: %v, not %v", step.after, got, step.want)
		}
	}
	if len(b.refilled) != 3 {
		t.Errorf("tried: %v", b.refilled)
	}
	if left, _ := filepath.Glob(filepath.Join(to, "*")); len(left) != 5 {
		t.Errorf("there are %v", left)
	}
	if r, err := b.Record(); err != nil || r.Verified.IsZero() || r.Error != "" {
		t.Errorf("%+v, %v", r, err)
	}
	now := begun.Add(24*time.Hour*6 + 17*time.Hour)
	if p, err := b.Problems(now); err != nil || len(p) > 0 {
		t.Errorf("%v, %v", p, err)
	}
	if p, err := b.Problems(now.Add(30 * time.Hour)); err != nil || len(p) != 1 || !strings.Contains(p[0], "was not taken") {
		t.Errorf("%v, %v", p, err)
	}
	// One that can't be restored leaves those of before.
	b.fails = "db"
	if err := b.tick(t.Context(), times, now.Add(24*time.Hour)); err == nil || len(ours()) != 3 {
		t.Errorf("%v, %v", err, ours())
	}
	if p, err := b.Problems(now.Add(24 * time.Hour)); err != nil || len(p) != 1 || !strings.Contains(p[0], "could not be restored") {
		t.Errorf("%v, %v", p, err)
	}
}

func TestPlanIsChecked(t *testing.T) {
	good := Plan{Cron: "30 4 * * *", To: "/mnt/nas", Keep: 1}
	for _, change := range []func(*Plan){
		func(p *Plan) { p.Cron = "30 4 * *" },
		func(p *Plan) { p.Cron = "0 0 30 2 *" },
		func(p *Plan) { p.Zone = "Mars/Olympus" },
		func(p *Plan) { p.To = "" },
		func(p *Plan) { p.To = "nas" },
		func(p *Plan) { p.Keep = 0 },
	} {
		p := good
		change(&p)
		if p.Check() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	if err := (Plan{}).Check(); err != nil {
		t.Errorf("none: %v", err)
	}
}
