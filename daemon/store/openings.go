package store

import "towline/daemon"

func readOpening(_ *tx, scan scanner) (o daemon.Opening, err error) {
	err = scan(&o.Addon, &o.Member, &o.Hash, at(&o.Expires))
	return o, err
}

// Openings come by add-on.
func (t addonTx) Openings() ([]daemon.Opening, error) {
	return list(t.tx, readOpening, "SELECT addon, member, hash, expires FROM openings ORDER BY addon")
}

func (t addonTx) PutOpening(o daemon.Opening) error {
	if err := t.addonExists(o.Addon); err != nil {
		return err
	}
	return t.insert(nil, "INSERT OR REPLACE INTO openings (addon, member, hash, expires) VALUES (?, ?, ?, ?)",
		o.Addon, o.Member, o.Hash, at(&o.Expires))
}

func (t addonTx) DeleteOpening(addon string) error {
	return t.change(daemon.Errorf(daemon.NotFound, "the page of %q is not open", addon), "DELETE FROM openings WHERE addon = ?", addon)
}
