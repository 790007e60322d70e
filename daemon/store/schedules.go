package store

import "towline/daemon"

func readSchedule(_ *tx, scan scanner) (s daemon.Schedule, err error) {
	err = scan(&s.Addon, &s.Cron, &s.Zone, &s.Keep, at(&s.Last))
	return s, err
}

// Schedules come by add-on.
func (t backupTx) Schedules() ([]daemon.Schedule, error) {
	return list(t.tx, readSchedule, "SELECT addon, cron, zone, keep, last FROM schedules ORDER BY addon")
}

func (t backupTx) PutSchedule(s daemon.Schedule) error {
	if err := t.addonExists(s.Addon); err != nil {
		return err
	}
	return t.insert(nil, "INSERT OR REPLACE INTO schedules (addon, cron, zone, keep, last) VALUES (?, ?, ?, ?, ?)",
		s.Addon, s.Cron, s.Zone, s.Keep, at(&s.Last))
}

func (t backupTx) DeleteSchedule(addon string) error {
	return t.change(daemon.Errorf(daemon.NotFound, "add-on %q has no backup schedule", addon).
		WithHint("towline backups:schedule sets one"), "DELETE FROM schedules WHERE addon = ?", addon)
}
