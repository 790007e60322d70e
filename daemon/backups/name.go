package backups

import (
	"context"
	"strings"

	"towline/daemon"
)

// BackupNamed is the ID of the backup that a member means: a whole ID, the beginning of
// one that no other backup's ID begins with, latest, or ADDON.latest for the newest good
// one. Only backups that the member may view count. A name that fits none is returned as
// it is.
func (bs *Backups) BackupNamed(ctx context.Context, member, name string) (string, error) {
	list, err := bs.List(ctx, member, "", "")
	if err != nil || name == "" {
		return name, err
	}
	addon, latest := strings.CutSuffix(name, ".latest")
	if name == "latest" {
		addon, latest = "", true
	}
	var fits []string
	addons := map[string]bool{}
	for _, b := range list { // newest first
		switch {
		case b.ID == name:
			return name, nil
		case latest && (addon == "" || b.Addon == addon) && b.Status == daemon.BackupGood && !addons[b.Addon]:
			addons[b.Addon] = true
			fits = append(fits, b.ID)
		case !latest && strings.HasPrefix(b.ID, name):
			fits = append(fits, b.ID)
		}
	}
	switch {
	case len(fits) == 1:
		return fits[0], nil
	case len(fits) == 0:
		return name, nil
	case latest:
		return "", daemon.Errorf(daemon.Invalid, "%q could be a backup of each of %d add-ons", name, len(fits)).
			WithHint("name the add-on too, like %s.latest", BackupAddon(fits[0]))
	}
	return "", daemon.Errorf(daemon.Invalid, "%q is the beginning of %d backups", daemon.Clip(name), len(fits)).
		WithHint("type more of it: %s", strings.Join(fits[:min(3, len(fits))], ", "))
}
