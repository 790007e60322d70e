package store

import (
	"strconv"

	"towline/daemon"
)

// An operation's data is sealed: it may carry config vars of a release to be.
func operationData(id int64) []byte { return place("operations.data", strconv.FormatInt(id, 10)) }

func readOperation(t *tx, scan scanner) (o daemon.Operation, err error) {
	var sealed []byte
	if err := scan(&o.ID, &o.Kind, &o.Subject, &o.Step, &o.Member, at(&o.Started), &sealed); err != nil {
		return o, err
	}
	plain, err := t.seal.open(sealed, operationData(o.ID))
	if len(plain) > 0 {
		o.Data = plain
	}
	return o, err
}

func noOperation(id int64) *daemon.Error {
	return daemon.Errorf(daemon.NotFound, "operation %d does not exist", id)
}

func (t *tx) Operations() ([]daemon.Operation, error) {
	return list(t, readOperation, "SELECT id, kind, subject, step, member, started, sealed_data FROM operations ORDER BY id")
}

// InsertOperation never gives an ID twice.
func (t *tx) InsertOperation(o *daemon.Operation) error {
	id, err := one(t, nil, readValue[int64],
		"INSERT INTO operations (kind, subject, step, member, started, sealed_data) VALUES (?, ?, ?, ?, ?, '') RETURNING id",
		o.Kind, o.Subject, o.Step, o.Member, at(&o.Started))
	if err != nil {
		return err
	}
	o.ID = id
	return t.UpdateOperation(*o) // the ID is part of the seal
}

func (t *tx) UpdateOperation(o daemon.Operation) error {
	return t.change(noOperation(o.ID),
		"UPDATE operations SET kind = ?, subject = ?, step = ?, member = ?, started = ?, sealed_data = ? WHERE id = ?",
		o.Kind, o.Subject, o.Step, o.Member, at(&o.Started), t.seal.seal(o.Data, operationData(o.ID)), o.ID)
}

func (t *tx) DeleteOperation(id int64) error {
	return t.change(noOperation(id), "DELETE FROM operations WHERE id = ?", id)
}
