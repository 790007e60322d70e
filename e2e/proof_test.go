package e2e

import (
	"strings"
	"testing"
	"time"

	"towline/e2e/stack"
)

// TestProofDies: a throwaway container that dies as one out of memory does makes the
// backup failed, loudly, and the service goes on.
func TestProofDies(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	db := newDatabase(t, s, "dies", "neo4j")
	if err := db.Add(1); err != nil {
		t.Fatal(err)
	}
	done := make(chan stack.Result)
	go func() { done <- s.SSH(t.Context(), stack.Admin, nil, "backups:capture neo4j-dies") }()
	eventually(t, func() string {
		out, err := stack.Listing("ps", "--filter", "name="+s.Name+"-proof-", "--format", "{{.Names}}")
		if err == nil && strings.TrimSpace(out) != "" {
			_, err = stack.Podman("kill", "--signal", "KILL", strings.TrimSpace(out))
			if err == nil {
				return ""
			}
		}
		return "there is no proof"
	})
	if r := <-done; r.Code != 1 || !strings.Contains(r.Stderr, "exit code 137") {
		t.Errorf("the proof was killed: %s", r)
	}
	list := backupsOf(t, s, "neo4j-dies")
	if list[0].Status != "failed" || list[0].Size == 0 || !list[0].Proven.IsZero() {
		t.Errorf("it is listed as %+v", list[0])
	}
	if r := s.SSH(t.Context(), stack.Admin, nil, "backups:restore "+list[0].ID+" --confirm neo4j-dies"); r.Code != 6 {
		t.Errorf("a failed backup is restored: %s", r)
	}
	if r := s.SSH(t.Context(), stack.Admin, nil, "backups:check neo4j-dies"); r.Code != 1 {
		t.Errorf("backups:check: %s", r)
	}
	if last, _, err := db.Last(); err != nil || last != 1 {
		t.Errorf("the service has %d, %v", last, err)
	}
	assertBackups(t, s, "neo4j-dies")
}

// TestScheduledBackup: a tick that comes while towlined is down is made up for.
func TestScheduledBackup(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{})
	db := newDatabase(t, s, "tick", "redis")
	if err := db.Add(1); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"'* * * *'", "'0 3 * * *' --keep none", "'0 3 * * *' --tz Nowhere"} {
		if r := s.SSH(t.Context(), stack.Admin, nil, "backups:schedule redis-tick "+bad); r.Code != 2 {
			t.Errorf("%s: %s", bad, r)
		}
	}
	admin(t, s, "backups:schedule redis-tick '* * * * *' --keep 1d --tz Europe/Berlin")
	if err := s.StopDaemon(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
	startDaemon(t, s)
	eventually(t, func() string {
		for _, b := range backupsOf(t, s, "redis-tick") {
			if b.Reason == "schedule" && b.Status == "good" {
				return ""
			}
		}
		return "no scheduled backup is taken"
	})
	admin(t, s, "backups:unschedule redis-tick")
	admin(t, s, "backups:check redis-tick")
	if out := admin(t, s, "backups:schedules"); !strings.Contains(out, "No schedules") {
		t.Errorf("backups:schedules: %s", out)
	}
}
