package store

import (
	"errors"

	"towline/daemon"
)

func readRules(_ *tx, scan scanner) (r daemon.Rules, err error) {
	err = scan(doc(&r))
	return r, err
}

// Rules of an app that has set none are empty.
func (t routeTx) Rules(app string) (daemon.Rules, error) {
	r, err := one(t.tx, daemon.ErrNotFound, readRules, "SELECT rules FROM rules WHERE app = ?", app)
	if errors.Is(err, daemon.ErrNotFound) {
		return daemon.Rules{}, nil
	}
	return r, err
}

func (t routeTx) PutRules(app string, r daemon.Rules) error {
	if err := t.appExists(app); err != nil {
		return err
	}
	return t.insert(nil, "INSERT OR REPLACE INTO rules (app, rules) VALUES (?, ?)", app, doc(r))
}
