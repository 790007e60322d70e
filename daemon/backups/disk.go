package backups

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"towline/daemon"
)

// reserve is what a backup leaves free, in bytes: the database and the logs share the
// disk, and a service that is being proven writes a little.
const reserve = 16 << 20

// roomForBackup refuses a backup that would not fit: there is a copy of the volumes
// while it is made, and the stored one.
func (bs *Backups) roomForBackup(ctx context.Context, addon daemon.Addon) error {
	dirs, err := bs.volumeDirs(ctx, addon)
	if err != nil {
		return err
	}
	var data int64
	for _, dir := range dirs {
		n, err := diskUsage(dir)
		if err != nil {
			return err
		}
		data += n
	}
	stored := data
	backups, err := daemon.Read(ctx, bs.Store, func(tx daemon.Tx) ([]daemon.Backup, error) { return daemon.BackupsOf(tx, addon.Name) })
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(backups, func(b daemon.Backup) bool { return b.Status == daemon.BackupGood }); i >= 0 {
		stored = min(data, backups[i].Size*5/4)
	}
	return bs.fits(ctx, "a backup of "+addon.Name, bs.Dir, data+stored)
}

// fits refuses what needs more bytes than are free where dir is, and says what takes
// the room.
func (bs *Backups) fits(ctx context.Context, what, dir string, need int64) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return err
	}
	free := int64(st.Bavail) * st.Bsize
	if need += reserve; free >= need {
		return nil
	}
	return daemon.Errorf(daemon.Conflict, "%s needs %s and the disk of %s has %s free", what, daemon.BytesText(need), dir, daemon.BytesText(free)).
		WithHint("%s", bs.takers(ctx))
}

// takers names what backups take most room.
func (bs *Backups) takers(ctx context.Context) string {
	backups, err := daemon.Read(ctx, bs.Store, func(tx daemon.Tx) ([]daemon.Backup, error) { return tx.Backups("") })
	if err != nil || len(backups) == 0 {
		return "there are no backups to delete: make room, or move Towline's directory to a larger disk"
	}
	type taker struct {
		addon string
		n     int
		size  int64
	}
	byAddon := map[string]*taker{}
	var list []*taker
	for _, b := range backups {
		t := byAddon[b.Addon]
		if t == nil {
			t = &taker{addon: b.Addon}
			byAddon[b.Addon], list = t, append(list, t)
		}
		t.n, t.size = t.n+1, t.size+b.Size
	}
	slices.SortFunc(list, func(a, b *taker) int { return int(b.size>>10 - a.size>>10) })
	var names []string
	for _, t := range list[:min(3, len(list))] {
		names = append(names, fmt.Sprintf("%s: %d, %s", t.addon, t.n, daemon.BytesText(t.size)))
	}
	return "backups that take room: " + strings.Join(names, "; ") + "\ndelete what is not needed: towline backups:delete BACKUP"
}

// explainFull adds to an error of a full disk what to do about it.
func (bs *Backups) explainFull(ctx context.Context, err error) error {
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return daemon.Errorf(daemon.Failed, "the disk is full: %w", err).WithHint("%s", bs.takers(ctx))
}

// diskUsage is what a tree takes on disk, in bytes. What goes meanwhile counts nothing, nor
// does what a link leads to: a service may put one in the place of a directory.
func diskUsage(dir string) (total int64, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	err = daemon.WalkRoot(root, func(name string, err error) error {
		if err == nil {
			var info os.FileInfo
			if info, err = root.Lstat(name); err == nil {
				total += info.Sys().(*syscall.Stat_t).Blocks * 512
			}
		}
		if name != "." && daemon.MovedMeanwhile(err) {
			return nil
		}
		return err
	})
	return total, err
}
