package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// clockTolerance is how far a clock may be off: certificates and backups' names go by it.
const clockTolerance = time.Minute

func checkClock(ctx context.Context, f *Facts) Finding {
	if f.Clock == nil {
		return skip("not asked")
	}
	c, err := f.Clock(ctx)
	if err != nil {
		return unknown(err)
	}
	if !c.Synced || c.Error > clockTolerance {
		return Finding{Status: Warn, Found: "nothing keeps the clock right", Want: "the clock is kept by NTP: certificates and schedules go by it",
			Do: "apt install systemd-timesyncd; timedatectl set-ntp true"}
	}
	return ok("kept by NTP, right within %s", c.Error.Round(time.Millisecond))
}

const (
	diskWarn = 10 // percent free
	diskFail = 3
)

func checkDisk(ctx context.Context, f *Facts) Finding {
	if f.Disks == nil {
		return skip("not asked")
	}
	disks, err := f.Disks(ctx)
	if err != nil {
		return unknown(err)
	}
	worst := OK
	var bad, good []string
	for _, d := range disks {
		percent, inodes := int64(100), int64(100)
		if d.Size > 0 {
			percent = d.Free * 100 / d.Size
		}
		if d.Inodes > 0 {
			inodes = d.InodesFree * 100 / d.Inodes
		}
		text := fmt.Sprintf("%s (%s) has %s of %s free, %d %% of its inodes", d.Path, strings.Join(d.For, ", "), size(d.Free), size(d.Size), inodes)
		status := OK
		switch {
		case percent < diskFail || inodes < diskFail || d.Free < d.Reserve:
			status = Fail
			if d.Free < d.Reserve {
				text += fmt.Sprintf(", less than the %s below which builds are refused", size(d.Reserve))
			}
		case percent < diskWarn || inodes < diskWarn:
			status = Warn
		}
		if status == OK {
			good = append(good, text)
			continue
		}
		bad = append(bad, text)
		if status == Fail || worst == OK {
			worst = status
		}
	}
	if worst == OK {
		return ok("%s", strings.Join(good, "; "))
	}
	found := Finding{Status: worst, Found: strings.Join(bad, "; "), Want: fmt.Sprintf("%d %% of each disk and of its inodes are free", diskWarn), Do: "towline host:disk says who holds what"}
	if f.Holders != nil {
		if largest, err := f.Holders(ctx); err == nil && len(largest) > 0 {
			found.Found += "; most is held by " + shortened(largest)
		}
	}
	return found
}

func checkMemory(ctx context.Context, f *Facts) Finding {
	if f.Memory == nil {
		return skip("not asked")
	}
	m, err := f.Memory(ctx)
	if err != nil {
		return unknown(err)
	}
	promised := m.Apps + m.Addons + m.Builds
	text := fmt.Sprintf("%s promised (apps %s, add-ons %s, a build %s) of %s, of which %s are free; swap %s",
		size(promised), size(m.Apps), size(m.Addons), size(m.Builds), size(m.Total), size(m.Available), size(m.Swap))
	found := Finding{Status: Warn, Found: text, Want: "what apps, add-ons and a build may take together is there",
		Do: "towline ps:scale, a smaller plan by towline addons:upgrade, or memory under [limits] in towline.toml"}
	switch {
	case m.Total > 0 && m.Available < m.Total/20:
		found.Status, found.Want = Fail, "a twentieth of the memory is free"
	case m.Addons > m.Total:
		found.Status = Fail // they hold what they have
	case promised > m.Total+m.Swap:
	default:
		return ok("%s", text)
	}
	return found
}

// size is a number of bytes for people.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for n >= 10*1024 && len(units) > 1 {
		n, units = n/1024, units[1:]
	}
	return fmt.Sprintf("%d %s", n, units[0])
}
