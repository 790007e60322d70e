package doctor

import (
	"context"
	"fmt"
	"time"
)

// staleBackup is the age from which on a newest proven backup is worth a warning.
const staleBackup = 7 * 24 * time.Hour

func checkBackups(ctx context.Context, f *Facts) Finding {
	if f.Backups == nil {
		return skip("not asked")
	}
	list, err := f.Backups(ctx)
	if err != nil {
		return unknown(err)
	}
	if len(list) == 0 {
		return skip("there are no add-ons")
	}
	now := f.Now()
	var bad, stale []string
	oldest := now
	for _, h := range list {
		switch {
		case len(h.Problems) > 0:
			bad = append(bad, h.Addon+": "+h.Problems[0])
		case now.Sub(h.LastGood) > staleBackup:
			stale = append(stale, fmt.Sprintf("%s: the newest proven one is %d days old", h.Addon, int(now.Sub(h.LastGood).Hours()/24)))
		}
		if !h.LastGood.IsZero() && h.LastGood.Before(oldest) {
			oldest = h.LastGood
		}
	}
	found := Finding{Want: "every add-on has a proven backup of this week", Do: `towline backups:check; towline backups:schedule ADDON "0 3 * * *" --keep 7d,4w,6m`}
	switch {
	case len(bad) > 0:
		found.Status, found.Found = Fail, shortened(append(bad, stale...))
	case len(stale) > 0:
		found.Status, found.Found = Warn, shortened(stale)
	default:
		return ok("%d add-ons, each with a proven backup that is at most %d hours old", len(list), int(now.Sub(oldest).Hours())+1)
	}
	return found
}

func checkHostBackup(ctx context.Context, f *Facts) Finding {
	if f.HostBackup == nil {
		return skip("not asked")
	}
	b, err := f.HostBackup(ctx)
	if err != nil {
		return unknown(err)
	}
	now := f.Now()
	found := Finding{Status: Warn, Want: "a backup of the whole machine of this week, kept on another one", Do: "from another machine: ssh towline@HOST host:backup --recipient age1... > FILE; or at set times: schedule under [backup] in towline.toml"}
	switch {
	case b.Error != "":
		found.Status, found.Found = Fail, "the last one failed: "+b.Error
	case b.Taken.IsZero() && !b.Data:
		return skip("there is nothing to back up yet")
	case b.Taken.IsZero():
		found.Found = "there was never one"
	case now.Sub(b.Taken) > staleBackup:
		found.Found = fmt.Sprintf("the newest is %d days old", int(now.Sub(b.Taken).Hours()/24))
	case b.Verified.IsZero():
		found.Found, found.Do = "none was ever restored to try it", "ssh towline@HOST host:backup --verify < FILE"
	default:
		return ok("taken %s, tried by a restore %s", b.Taken.Format(time.DateTime), b.Verified.Format(time.DateTime))
	}
	return found
}
