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
const pragmas = "_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=cache_size(-256)&_pragma=journal_size_limit(1048576)"

const schema = `CREATE TABLE IF NOT EXISTS measured (level INTEGER NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (level, at)) WITHOUT ROWID`

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
		_, err := db.ExecContext(ctx, "INSERT OR REPLACE INTO measured VALUES (?, ?, ?)", level, at.Unix(), data)
		return err
	})
}

// Get implements daemon.History.
func (h *History) Get(ctx context.Context, level int, from, to time.Time) (list []daemon.Measured, err error) {
	err = h.do(ctx, func(db *sql.DB) error {
		list = nil
		rows, err := db.QueryContext(ctx, "SELECT at, data FROM measured WHERE level = ? AND at >= ? AND at < ? ORDER BY at", level, from.Unix(), to.Unix())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var at int64
			var m daemon.Measured
			if err := rows.Scan(&at, &m.Data); err != nil {
				return err
			}
			m.Time = time.Unix(at, 0).UTC()
			list = append(list, m)
		}
		return rows.Err()
	})
	return list, err
}

// Newest implements daemon.History.
func (h *History) Newest(ctx context.Context, level int) (t time.Time, err error) {
	err = h.do(ctx, func(db *sql.DB) error {
		var at sql.NullInt64
		err := db.QueryRowContext(ctx, "SELECT max(at) FROM measured WHERE level = ?", level).Scan(&at)
		if t = (time.Time{}); at.Valid {
			t = time.Unix(at.Int64, 0).UTC()
		}
		return err
	})
	return t, err
}

// Forget implements daemon.History.
func (h *History) Forget(ctx context.Context, level int, before time.Time) error {
	return h.do(ctx, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, "DELETE FROM measured WHERE level = ? AND at < ?", level, before.Unix())
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
