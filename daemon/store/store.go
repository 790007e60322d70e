// Package store keeps Towline's state in one SQLite file.
//
// Durability: the file is in WAL mode with synchronous=FULL, so every commit
// writes its pages to the log and fsyncs it before Update returns. What Update
// acknowledged survives a kill of the process and a loss of power; what it did
// not is gone as a whole. The log is folded into the main file now and then,
// and by Close.
//
// One connection writes. Readers have their own and see the state of the last
// commit before their first read: a long Update does not hold them up.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", without cgo

	"towline/daemon"
)

// Store is a daemon.Store. It is safe for concurrent use.
type Store struct {
	writer *sql.DB // one connection
	reader *sql.DB
	seal   *sealer
}

var _ daemon.Store = (*Store)(nil)

const (
	maxReaders  = 4
	readerIdle  = time.Minute // then an unused reader's memory is given back
	busyTimeout = 10 * time.Second
)

// Open opens the database at path, with mode 0600 when it makes it, and brings
// it to this version's schema. key (see LoadKey) seals config vars and
// credentials. A database that is sealed with another key, or that a newer
// version of Towline has migrated, is refused unchanged.
func Open(ctx context.Context, path string, key []byte) (*Store, error) {
	seal, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	if err := createFile(path); err != nil {
		return nil, fmt.Errorf("creating the database: %w", err)
	}
	if err := upgrade(ctx, path); err != nil {
		return nil, fmt.Errorf("the database %s: %w", path, err)
	}
	s := &Store{seal: seal}
	// Page caches are small: the state is, and the memory is the apps'.
	s.writer, err = sql.Open("sqlite", dsn(path,
		"journal_mode(wal)", "synchronous(full)", "foreign_keys(1)", "cache_size(-1024)", "journal_size_limit(4194304)"))
	if err != nil {
		return nil, err
	}
	s.writer.SetMaxOpenConns(1)
	s.reader, err = sql.Open("sqlite", dsn(path, "query_only(1)", "cache_size(-512)"))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.reader.SetMaxOpenConns(maxReaders)
	s.reader.SetMaxIdleConns(1) // opening another takes well under a millisecond
	s.reader.SetConnMaxIdleTime(readerIdle)
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", path, errors.Join(err, s.Close()))
	}
	return s, nil
}

// prepare migrates the schema and checks the key.
func (s *Store) prepare(ctx context.Context) error {
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := migrate(ctx, conn); err != nil {
		return err
	}
	return transact(ctx, conn, "BEGIN IMMEDIATE", func() error { return s.seal.check(ctx, conn) })
}

// Close folds the log into the main file. Transactions that run are waited for.
func (s *Store) Close() error {
	var errs []error
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	return errors.Join(errs...)
}

// View runs f on one unchanging state. The Tx must not be used to write, nor
// after f has returned.
func (s *Store) View(ctx context.Context, f func(daemon.Tx) error) error {
	return s.run(ctx, s.reader, "BEGIN", f)
}

// Update runs f in a transaction of its own: a second Update waits until the
// first has returned, so f must not call Update itself, nor wait for anything
// slow. When f fails or panics nothing is kept.
func (s *Store) Update(ctx context.Context, f func(daemon.Tx) error) error {
	return s.run(ctx, s.writer, "BEGIN IMMEDIATE", f)
}

func (s *Store) run(ctx context.Context, db *sql.DB, begin string, f func(daemon.Tx) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("waiting for the database: %w", err)
	}
	defer conn.Close()
	return transact(ctx, conn, begin, func() error { return f(newState(&tx{ctx: ctx, conn: conn, seal: s.seal})) })
}

// transact is done by hand, not by sql.Tx, so that the end of ctx cannot come
// between a commit and its answer, and a commit that failed is rolled back.
func transact(ctx context.Context, conn *sql.Conn, begin string, f func() error) (err error) {
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	always := context.WithoutCancel(ctx)
	committed := false
	defer func() { // also when f panics
		if !committed {
			// SQLite may have rolled back by itself; then this fails, rightly.
			_, _ = conn.ExecContext(always, "ROLLBACK")
		}
	}()
	if err := f(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := conn.ExecContext(always, "COMMIT"); err != nil {
		return fmt.Errorf("committing to the database: %w", err)
	}
	committed = true
	return nil
}

// createFile makes an empty file that only its owner can read, and closes one that
// was copied there with another mode. SQLite gives its log the same.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return os.Chmod(path, 0o600)
	}
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func dsn(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())}, pragmas...)}
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}
	return u.String()
}
