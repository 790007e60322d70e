package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"towline/daemon"
)

// tx is a transaction under way.
type tx struct {
	ctx  context.Context
	conn *sql.Conn
	seal *sealer
}

// Each is what a transaction does with one noun. Its methods are in the files of that.
type (
	appTx       struct{ *tx }
	releaseTx   struct{ *tx }
	buildTx     struct{ *tx }
	routeTx     struct{ *tx }
	addonTx     struct{ *tx }
	backupTx    struct{ *tx }
	memberTx    struct{ *tx }
	operationTx struct{ *tx }
	activityTx  struct{ *tx }
	pipelineTx  struct{ *tx }
	testTx      struct{ *tx }
)

// state is a daemon.Tx: a transaction on all the nouns.
type state struct {
	appTx
	releaseTx
	buildTx
	routeTx
	addonTx
	backupTx
	memberTx
	operationTx
	activityTx
	pipelineTx
	testTx
}

var _ daemon.Tx = state{}

func newState(t *tx) state {
	return state{appTx{t}, releaseTx{t}, buildTx{t}, routeTx{t}, addonTx{t}, backupTx{t}, memberTx{t}, operationTx{t}, activityTx{t}, pipelineTx{t}, testTx{t}}
}

// scanner is a row's Scan.
type scanner func(dest ...any) error

// list reads all rows; none is an empty list.
func list[T any](t *tx, read func(*tx, scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := t.conn.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, failed(err)
	}
	defer rows.Close()
	all := []T{}
	for rows.Next() {
		v, err := read(t, rows.Scan)
		if err != nil {
			return nil, failed(err)
		}
		all = append(all, v)
	}
	return all, failed(rows.Err())
}

// readValue reads a row of one column.
func readValue[T any](_ *tx, scan scanner) (v T, err error) {
	err = scan(&v)
	return v, err
}

// one reads a row; none is the error absent.
func one[T any](t *tx, absent error, read func(*tx, scanner) (T, error), query string, args ...any) (T, error) {
	v, err := read(t, t.conn.QueryRowContext(t.ctx, query, args...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return v, absent
	}
	return v, failed(err)
}

// insert adds a row; one of the same key is the error taken.
func (t *tx) insert(taken error, query string, args ...any) error {
	_, err := t.conn.ExecContext(t.ctx, query, args...)
	if duplicate(err) {
		return taken
	}
	return failed(err)
}

// change updates or deletes a row; none is the error absent.
func (t *tx) change(absent error, query string, args ...any) error {
	res, err := t.conn.ExecContext(t.ctx, query, args...)
	if err != nil {
		return failed(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, absent)
	}
	return nil
}

// exists reports whether a row that others refer to is there, so that its
// absence can be named: a failed foreign key tells nothing.
func (t *tx) exists(absent error, query string, args ...any) error {
	_, err := one(t, absent, readValue[int], query, args...)
	return err
}

func duplicate(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}

func failed(err error) error {
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// instant stores a time as nanoseconds since 1970, the zero time as 0. Times come
// back in UTC.
type instant struct{ *time.Time }

// at is for a column that holds t, to write or to scan.
func at(t *time.Time) instant { return instant{t} }

func (i instant) Value() (driver.Value, error) {
	if i.IsZero() {
		return int64(0), nil
	}
	return i.UnixNano(), nil
}

func (i instant) Scan(src any) error {
	ns, ok := src.(int64)
	if !ok {
		return fmt.Errorf("time column holds %T", src)
	}
	*i.Time = time.Time{}
	if ns != 0 {
		*i.Time = time.Unix(0, ns).UTC()
	}
	return nil
}

// optional stores a name as text, the empty one as NULL: a reference to nothing.
type optional struct{ *string }

// maybe is for a column that holds s, to write or to scan.
func maybe(s *string) optional { return optional{s} }

func (o optional) Value() (driver.Value, error) {
	if *o.string == "" {
		return nil, nil
	}
	return *o.string, nil
}

func (o optional) Scan(src any) error {
	*o.string = ""
	if src == nil {
		return nil
	}
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("column of names holds %T", src)
	}
	*o.string = s
	return nil
}

// document stores a value as JSON.
type document struct{ v any }

// doc is for a column that holds what v points to, to write or to scan.
func doc(v any) document { return document{v} }

func (d document) Value() (driver.Value, error) {
	b, err := json.Marshal(d.v)
	return string(b), err
}

func (d document) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("JSON column holds %T", src)
	}
	return json.Unmarshal([]byte(s), d.v)
}
