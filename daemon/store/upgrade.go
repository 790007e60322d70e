package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// upgrade brings a database of an earlier schema to the newest. The migrations work on a
// copy, which then takes the place of the database in one step: one that fails leaves it
// as it was, for the version of Towline that made it. What was replaced is kept beside it,
// as PATH.schema-N. A database that is new, or at the newest schema, is left alone.
func upgrade(ctx context.Context, path string) error {
	next := path + ".next"
	if err := removeAll(next); err != nil { // what a kill left
		return err
	}
	have, err := migrateCopy(ctx, path, next)
	if err != nil || have == 0 {
		return errors.Join(err, removeAll(next))
	}
	// A log that stayed would be taken for one of the copy.
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return errors.Join(errors.New("somebody else has it open: is another towlined running?"), removeAll(next))
	}
	if err := errors.Join(removeFile(path+"-wal"), removeFile(path+"-shm")); err != nil {
		return err
	}
	kept := fmt.Sprintf("%s.schema-%d", path, have)
	if err := errors.Join(removeFile(kept), os.Link(path, kept), os.Rename(next, path)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Rehearse tells whether this version can take over the database at path, which may be in
// use: its migrations are tried on a copy, of which nothing is left.
func Rehearse(ctx context.Context, path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	next := path + ".rehearsal"
	if err := removeAll(next); err != nil {
		return err
	}
	_, err := migrateCopy(ctx, path, next)
	if err := errors.Join(err, removeAll(next)); err != nil {
		return fmt.Errorf("the database %s: %w", path, err)
	}
	return nil
}

// migrateCopy makes a migrated copy at next, unless there is nothing to do: then have is 0.
// It returns the schema's version that the database is at.
func migrateCopy(ctx context.Context, path, next string) (have int, err error) {
	old, err := openOne(path, "busy_timeout(10000)")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	conn, err := old.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return 0, err
	}
	have, err = versionOf(ctx, conn)
	if err != nil || have == 0 || have == len(files) {
		return 0, err
	}
	if have > len(files) {
		return 0, migrate(ctx, conn) // which refuses it, in words
	}
	f, err := os.OpenFile(next, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // for its mode
	if err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	if _, err := conn.ExecContext(ctx, "VACUUM INTO ?", next); err != nil {
		return 0, fmt.Errorf("copying it: %w", err)
	}
	return have, migrateWhole(ctx, next)
}

// migrateWhole migrates the database at path and checks what came of it.
func migrateWhole(ctx context.Context, path string) (err error) {
	db, err := openOne(path, "synchronous(full)", "foreign_keys(1)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := migrate(ctx, conn); err != nil {
		return err
	}
	for _, check := range []string{"PRAGMA integrity_check", "PRAGMA foreign_key_check"} {
		if err := expectNothing(ctx, conn, check); err != nil {
			return fmt.Errorf("after the migrations: %w", err)
		}
	}
	return syncFile(path)
}

// expectNothing runs a check that answers with no rows, or "ok".
func expectNothing(ctx context.Context, conn *sql.Conn, check string) error {
	rows, err := conn.QueryContext(ctx, check)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(sql.NullString)
		}
		if err := rows.Scan(cells...); err != nil {
			return err
		}
		var words []string
		for _, c := range cells {
			words = append(words, c.(*sql.NullString).String)
		}
		if said := strings.Join(words, " "); said != "ok" {
			return fmt.Errorf("%s: %s", check, said)
		}
	}
	return rows.Err()
}

func openOne(path string, pragmas ...string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, pragmas...))
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeAll removes a database with what SQLite may have put beside it.
func removeAll(path string) error {
	return errors.Join(removeFile(path), removeFile(path+"-wal"), removeFile(path+"-shm"), removeFile(path+"-journal"))
}
