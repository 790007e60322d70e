package apps

import (
	"context"
	"errors"

	"towline/daemon"
)

// KeptImages is how many images of an app are kept to roll back to, the newest.
const KeptImages = 10

// pruneImages removes the images of releases that are too old to roll back to, and has
// these forget them, and their config vars: what could not be removed is tried again after
// the next release.
func (ps *Processes) pruneImages(ctx context.Context, app string) error {
	unlock, err := ps.Journal.LockApp(ctx, app, nil) // nobody rolls back to one meanwhile
	if err != nil {
		return err
	}
	defer unlock()
	releases, err := daemon.Read(ctx, ps.Store, func(tx daemon.Tx) ([]daemon.Release, error) { return tx.Releases(app) })
	if err != nil {
		return err
	}
	kept := map[string]bool{"": true}
	removed := map[string]bool{}
	for _, r := range releases { // newest first
		if kept[r.Image] || removed[r.Image] {
			continue
		}
		if len(kept) <= KeptImages {
			kept[r.Image] = true
			continue
		}
		if uerr := ps.Engine.UntagImage(ctx, r.Image); uerr != nil && !daemon.IsKind(uerr, daemon.NotFound) {
			err = errors.Join(err, uerr)
			continue
		}
		removed[r.Image] = true
	}
	if len(removed) == 0 {
		return err
	}
	return errors.Join(err, ps.Store.Update(ctx, func(tx daemon.Tx) error {
		var errs error
		for _, r := range releases {
			if removed[r.Image] {
				r.Image, r.Config, r.ConfigDropped = "", nil, true
				errs = errors.Join(errs, tx.UpdateRelease(r))
			}
		}
		return errs
	}))
}
