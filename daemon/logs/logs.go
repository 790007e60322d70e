// Package logs keeps what apps and Towline itself say, in files that outlive
// containers and releases.
//
// Each app has a directory. A container's output is written there by the engine,
// one file for each container, in Podman's k8s-file format:
//
//	2006-01-02T15:04:05.999999999-07:00 stdout F the text
//
// with P in place of F for a part of a line that goes on in the next record of
// its stream. Towline's own lines are in towline.log, with SOURCE/PROCESS in place
// of the stream, and what builds show is in a file for each. The proxy writes its lines elsewhere, in the same format. Reading
// merges all of these by time.
package logs

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"towline/daemon"
)

// Options of a Logs. Zero means the default.
type Options struct {
	Dir       string        // one directory for each app
	RouterDir string        // where the proxy writes APP.log; empty: it does not
	MaxSize   int64         // bytes kept of one app, its running containers apart; default 100 MB
	MaxAge    time.Duration // of a file's last line; default 30 days
	Log       *slog.Logger  // told what Write could not write; default: nobody
}

// Logs is a daemon.Logs.
type Logs struct {
	Options
	mu sync.Mutex // one Write at a time, for the rotation
}

var _ daemon.Logs = (*Logs)(nil)

// New returns a Logs. Nothing is made before it is needed.
func New(o Options) *Logs {
	if o.MaxSize <= 0 {
		o.MaxSize = 100 << 20
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 30 * 24 * time.Hour
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Logs{Options: o}
}

const (
	extension  = ".log"
	rotated    = ".log.1"
	ownFile    = "towline.log"
	addonMark  = '+'
	timeFormat = "2006-01-02T15:04:05.000000000-07:00"
)

// folder is where an app's files are. An add-on's own are under its name with a
// plus sign before it, which no app's name has.
func (l *Logs) folder(app string) (string, error) {
	if app == "" || app[0] == '.' || strings.ContainsAny(app, "/\x00") {
		return "", daemon.Errorf(daemon.Invalid, "app name %q is not allowed", app)
	}
	return filepath.Join(l.Dir, app), nil
}

// ContainerPath is the file for the output of a container, which is named
// INSTALLATION-APP.TYPE.INDEX with more words after another dot, or is a process,
// TYPE.INDEX, itself. The directory is there when it returns; where it cannot be
// made, or for a name that could leave it, the engine will say so.
func (l *Logs) ContainerPath(app, container string) string {
	dir, err := l.folder(app)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		l.Log.Error("making a log directory", "app", app, "err", err)
	}
	return filepath.Join(dir, filepath.Base(container)+extension)
}

// ContainerSize is how large one container's file should be allowed to grow, in
// bytes, before the engine begins it anew.
func (l *Logs) ContainerSize() int64 { return max(l.MaxSize/4, 64<<10) }

// Write implements daemon.Logs. A text of several lines becomes several lines.
func (l *Logs) Write(app, source, process, text string) {
	if err := l.write(app, source, process, text); err != nil {
		l.Log.Error("writing to an app's log", "app", app, "line", text, "err", err)
	}
}

func (l *Logs) write(app, source, process, text string) error {
	dir, err := l.folder(app)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Format(timeFormat)
	var b strings.Builder
	for line := range strings.Lines(text) {
		fmt.Fprintf(&b, "%s %s/%s F %s\n", now, word(source), word(process), strings.TrimRight(line, "\r\n"))
	}
	if b.Len() == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := l.openOwn(dir, int64(b.Len()))
	if err != nil {
		return err
	}
	_, err = f.WriteString(b.String()) // one write: readers see whole lines
	return errors.Join(err, f.Close())
}

// openOwn opens towline.log to append n bytes. When it is full it makes way for a
// new one and is kept, once, under another name.
func (l *Logs) openOwn(dir string, n int64) (*os.File, error) {
	path := filepath.Join(dir, ownFile)
	if info, err := os.Stat(path); err == nil && info.Size()+n > max(l.MaxSize/8, 16<<10) {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
}

// word makes s one field of a record.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r == '/' {
			return '-'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s
}

// Remove implements daemon.Logs. What the proxy wrote goes too.
func (l *Logs) Remove(app string) error {
	dir, err := l.folder(app)
	if err != nil {
		return err
	}
	err = os.RemoveAll(dir)
	if l.RouterDir != "" {
		for _, ext := range []string{extension, rotated} {
			if e := os.Remove(filepath.Join(l.RouterDir, app+ext)); e != nil && !errors.Is(e, os.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("removing the log of %s: %w", app, err)
	}
	return nil
}
