package logs

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"towline/daemon"
)

// Read implements daemon.Logs. The end of ctx is no error while following.
func (l *Logs) Read(ctx context.Context, q daemon.LogQuery, line func(daemon.LogLine) error) error {
	dir, err := l.folder(q.App)
	if err != nil {
		return err
	}
	r := &reader{logs: l, query: q, files: map[string]*file{}}
	defer r.close()
	if q.Follow { // before the files are looked at, so that no change is missed
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		w := newWatch(dir, l.RouterDir, q.App+extension)
		defer w.close()
		r.watch = w
	}
	lines, err := r.tail()
	if err != nil {
		return err
	}
	for _, l := range lines {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := line(l); err != nil {
			return err
		}
	}
	if !q.Follow {
		return nil
	}
	return r.follow(ctx, line)
}

// reader is the work on one query.
type reader struct {
	logs  *Logs
	query daemon.LogQuery
	watch *watch
	files map[string]*file // those that are followed, by path
	lines []daemon.LogLine // read and not yet passed on
}

func (r *reader) close() {
	for _, f := range r.files {
		f.close()
	}
}

// clockSlack is how far a file's time of change may lie before the times in it:
// the kernel's clock for files is a coarse one.
const clockSlack = time.Second

// heldFor is how recently a file must have changed to be held open while it is
// followed even before it grows: it may well be replaced, and its inode reused.
const heldFor = time.Hour

// tail returns the last lines of all files, in order of time. The files that
// changed last come first, so that older ones need not be opened once there are
// enough lines that are younger than they are.
func (r *reader) tail() ([]daemon.LogLine, error) {
	all, err := r.logs.find(r.query)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b found) int { return b.modified.Compare(a.modified) })
	n := r.query.Lines
	var lines []daemon.LogLine
	for i := range all {
		f := &all[i]
		f.offset = f.size
		if n > 0 && (len(lines) < n || f.modified.Add(clockSlack).After(lines[0].Time)) {
			got, err := f.tail(r.query, n)
			if errors.Is(err, fs.ErrNotExist) {
				continue // pruned just now
			}
			if err != nil {
				return nil, err
			}
			if !r.query.Follow {
				got = append(got, r.matching(f.flush(time.Now().Add(time.Hour)))...)
			}
			lines = append(lines, got...)
			byTime(lines)
			lines = lines[max(0, len(lines)-n):]
		}
		if r.query.Follow && !strings.HasSuffix(f.path, rotated) {
			if time.Since(f.modified) < heldFor {
				f.hold()
			}
			r.files[f.path] = &f.file
		}
	}
	return lines, nil
}

func (r *reader) matching(lines []daemon.LogLine) []daemon.LogLine {
	return slices.DeleteFunc(lines, func(l daemon.LogLine) bool { return !wanted(r.query, l.Source, l.Process) })
}

func byTime(lines []daemon.LogLine) {
	slices.SortStableFunc(lines, func(a, b daemon.LogLine) int { return a.Time.Compare(b.Time) })
}

const (
	// batch is how long after a look at the files the next one is taken, so that a
	// busy app does not cost one a line.
	batch = 20 * time.Millisecond
	// lookAnyway finds what no notice came for.
	lookAnyway = time.Second
	// endAnyway ends lines that have no end.
	endAnyway = 3 * time.Second
)

// follow passes on new lines until ctx ends.
func (r *reader) follow(ctx context.Context, line func(daemon.LogLine) error) error {
	tick := time.NewTicker(lookAnyway)
	defer tick.Stop()
	for {
		began := time.Now()
		more, err := r.poll()
		if err != nil {
			return err
		}
		byTime(r.lines)
		for _, l := range r.lines {
			if err := line(l); err != nil {
				return err
			}
		}
		r.lines = r.lines[:0]
		if more && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.watch.changed:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(batch - time.Since(began)): // at once after some quiet
			}
		}
	}
}

// poll reads what was written since it was called last.
func (r *reader) poll() (more bool, err error) {
	all, err := r.logs.find(r.query)
	if err != nil {
		return false, err
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.path, b.path) })
	there := map[string]bool{}
	for i := range all {
		now := &all[i]
		if strings.HasSuffix(now.path, rotated) {
			continue
		}
		there[now.path] = true
		f := r.files[now.path]
		if f != nil && f.id != now.id {
			if err := r.finish(f); err != nil {
				return false, err
			}
			f = nil
		}
		if f == nil {
			f = &now.file // new: from its beginning
			r.files[f.path] = f
		}
		if now.size < f.offset { // cut
			f.offset, f.parts = 0, nil
		}
		if now.size > f.offset {
			m, err := f.next(r.add)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return false, err
			}
			more = more || m
		}
		r.lines = append(r.lines, r.matching(f.flush(time.Now().Add(-endAnyway)))...)
	}
	for path, f := range r.files {
		if !there[path] {
			if err := r.finish(f); err != nil {
				return false, err
			}
		}
	}
	return more, nil
}

func (r *reader) add(l daemon.LogLine) {
	if wanted(r.query, l.Source, l.Process) {
		r.lines = append(r.lines, l)
	}
}

// finish reads the rest of a file that has lost its name to another, or to none.
func (r *reader) finish(f *file) error {
	delete(r.files, f.path)
	defer f.close()
	if f.open == nil {
		// Rotated before it was ever opened here: it may have its second name.
		old, err := os.Open(filepath.Clean(f.path) + ".1")
		if err != nil {
			return nil
		}
		f.open = old
		if info, err := old.Stat(); err != nil || identify(info) != f.id {
			return nil
		}
	}
	for {
		more, err := f.readFrom(f.open, r.add)
		if err != nil || !more {
			r.lines = append(r.lines, r.matching(f.flush(time.Now().Add(time.Hour)))...)
			return err
		}
	}
}
