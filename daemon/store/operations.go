package store

import (
	"strconv"

	"towline/daemon"
)

// An operation's data is sealed: it may carry config vars of a release to be.
func operationData(id int64) []byte { return place("operations.data", strconv.FormatInt(id, 10)) }

func readOperation(t *tx, scan scanner) (o daemon.Operation, err error) {
	var sealed []byte
	if err := scan(&o.ID, &o.Kind, &o.Subject, &o.Step, &o.Member, at(&o.Started), &sealed, doc(&o.Event)); err != nil {
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

func (t operationTx) Operations() ([]daemon.Operation, error) {
	return list(t.tx, readOperation, "SELECT id, kind, subject, step, member, started, sealed_data, event FROM operations ORDER BY id")
}

// InsertOperation never gives an ID twice.
func (t operationTx) InsertOperation(o *daemon.Operation) error {
	id, err := one(t.tx, nil, readValue[int64],
		"INSERT INTO operations (kind, subject, step, member, started, sealed_data, event) VALUES (?, ?, ?, ?, ?, '', 'null') RETURNING id",
		o.Kind, o.Subject, o.Step, o.Member, at(&o.Started))
	if err != nil {
		return err
	}
	o.ID = id
	return t.UpdateOperation(*o) // the ID is part of the seal
}

func (t operationTx) UpdateOperation(o daemon.Operation) error {
	return t.change(noOperation(o.ID),
		"UPDATE operations SET kind = ?, subject = ?, step = ?, member = ?, started = ?, sealed_data = ?, event = ? WHERE id = ?",
		o.Kind, o.Subject, o.Step, o.Member, at(&o.Started), t.seal.seal(o.Data, operationData(o.ID)), doc(o.Event), o.ID)
}

func (t operationTx) DeleteOperation(id int64) error {
	return t.change(noOperation(id), "DELETE FROM operations WHERE id = ?", id)
}
