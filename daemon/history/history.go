// Package history keeps measurements in a SQLite file of their own, which may be lost without harm:
// nothing that was promised is in it. One that can't be read is set aside and begun anew.
package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", without cgo

	"towline/daemon"
)

// History is a daemon.History. The file is opened by the first call, and again after it broke.
type History struct {
	path string
	log  *slog.Logger

	mu sync.Mutex // one call at a time: they are few, and short
	db *sql.DB    // nil: not open
}

var _ daemon.History = (*History)(nil)

// New returns one that keeps its file at path.
func New(path string, log *slog.Logger) *History { return &History{path: path, log: log} }

// A commit is not on disk when it returns, so that one a minute wakes no disk: after a power cut
// the last may be missing. synchronous(normal) keeps the file whole.
const pragmas = "_pragma=page_size(32768)&_pragma=busy_timeout(5000)&_pragma=synchronous(normal)&_pragma=cache_size(-256)&_pragma=journal_size_limit(1048576)"

// The mode is set last, for with it the size of pages is settled, and the driver sorts the pragmas above. The key has the level above the time, which a row ID holds best: rows are several kilobytes, and large
// pages leave little of them empty.
const schema = `PRAGMA journal_mode(wal); CREATE TABLE IF NOT EXISTS measured (key INTEGER PRIMARY KEY, data BLOB NOT NULL)`

// keyOf is where the data of a level and time lie.
func keyOf(level int, at time.Time) int64 { return int64(level)<<timeBits | at.Unix()&(1<<timeBits-1) }

const timeBits = 40

func timeOf(key int64) time.Time { return time.Unix(key&(1<<timeBits-1), 0).UTC() }

// open opens the file, and sets it aside if it is none of ours.
func (h *History) open(ctx context.Context) error {
	if h.db != nil {
		return nil
	}
	err := h.try(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, serr := os.Stat(h.path); errors.Is(serr, fs.ErrNotExist) {
		return err // the directory, or the disk, is what is wrong
	}
	return h.setAside(ctx, err)
}

// setAside begins anew beside what broke. One broken file is kept, the last.
func (h *History) setAside(ctx context.Context, cause error) error {
	if h.db != nil {
		_ = h.db.Close() // it is broken
		h.db = nil
	}
	broken := h.path + ".broken"
	h.log.Error("the measurements of before can't be read; the file is set aside, and a new one begun", "file", broken, "err", cause)
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(h.path+end, broken+end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return h.try(ctx)
}

func (h *History) try(ctx context.Context) error {
	f, err := os.OpenFile(h.path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite gives its log the same mode
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: h.path, RawQuery: pragmas}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	db.SetConnMaxIdleTime(0)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return errors.Join(err, db.Close())
	}
	h.db = db
	return nil
}

// do runs f on the open file, and once more on a new one if it turns out to be broken.
func (h *History) do(ctx context.Context, f func(*sql.DB) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.open(ctx); err != nil {
		return fmt.Errorf("the measurements: %w", err)
	}
	err := f(h.db)
	if isBroken(err) {
		if err := h.setAside(ctx, err); err != nil {
			return fmt.Errorf("the measurements: %w", err)
		}
		err = f(h.db)
	}
	if err != nil {
		return fmt.Errorf("the measurements: %w", err)
	}
	return nil
}

// Codes of SQLite: SQLITE_CORRUPT and SQLITE_NOTADB.
const (
	corrupt = 11
	notADB  = 26
)

func isBroken(err error) bool {
	var e interface{ Code() int }
	return errors.As(err, &e) && (e.Code()&0xff == corrupt || e.Code()&0xff == notADB)
}

// Put implements daemon.History.
func (h *History) Put(ctx context.Context, level int, at time.Time, data []byte) error {
	return h.do(ctx, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, "INSERT OR REPLACE INTO measured VALUES (?, ?)", keyOf(level, at), data)
		return err
	})
}

// Get implements daemon.History.
func (h *History) Get(ctx context.Context, level int, from, to time.Time) (list []daemon.Measured, err error) {
	err = h.do(ctx, func(db *sql.DB) error {
		list = nil
		rows, err := db.QueryContext(ctx, "SELECT key, data FROM measured WHERE key >= ? AND key < ? ORDER BY key", keyOf(level, from), keyOf(level, to))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var key int64
			var m daemon.Measured
			if err := rows.Scan(&key, &m.Data); err != nil {
				return err
			}
			m.Time = timeOf(key)
			list = append(list, m)
		}
		return rows.Err()
	})
	return list, err
}

// Newest implements daemon.History.
func (h *History) Newest(ctx context.Context, level int) (t time.Time, err error) {
	err = h.do(ctx, func(db *sql.DB) error {
		var key sql.NullInt64
		err := db.QueryRowContext(ctx, "SELECT max(key) FROM measured WHERE key >= ? AND key < ?", keyOf(level, time.Unix(0, 0)), keyOf(level+1, time.Unix(0, 0))).Scan(&key)
		if t = (time.Time{}); key.Valid {
			t = timeOf(key.Int64)
		}
		return err
	})
	return t, err
}

// Forget implements daemon.History.
func (h *History) Forget(ctx context.Context, level int, before time.Time) error {
	return h.do(ctx, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, "DELETE FROM measured WHERE key >= ? AND key < ?", keyOf(level, time.Unix(0, 0)), keyOf(level, before))
		return err
	})
}

// Close closes the file. What comes later opens it again.
func (h *History) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.db == nil {
		return nil
	}
	err := h.db.Close()
	h.db = nil
	return err
}
