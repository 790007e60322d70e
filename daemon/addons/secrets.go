package addons

import (
	"context"
	"maps"

	"towline/daemon"
)

// CompleteSecrets gives add-ons the secrets that their manifest has come to want since they
// were made. The service gets to know them at its next start.
func (pl *Plugins) CompleteSecrets(ctx context.Context) error {
	return pl.Store.Update(ctx, func(tx daemon.Tx) error {
		addons, err := tx.Addons()
		if err != nil {
			return err
		}
		for _, a := range addons {
			m, ok := pl.Catalog.Service(a.Service)
			if !ok {
				continue
			}
			added := false
			secrets := maps.Clone(a.Secrets)
			// Those that a rotation is on its way to, or from, are whole sets too.
			for _, mark := range []string{"", nextSecret, oldSecret} {
				set := marked(a.Secrets, mark)
				if mark == "" {
					set = WithMarked(a.Secrets, "", nil)
				} else if len(set) == 0 {
					continue
				}
				whole, more := m.Completed(set)
				for name, value := range whole {
					secrets[mark+name] = value
				}
				added = added || more
			}
			if !added {
				continue
			}
			a.Secrets = secrets
			if err := tx.UpdateAddon(a); err != nil {
				return err
			}
		}
		return nil
	})
}
