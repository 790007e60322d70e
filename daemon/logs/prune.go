package logs

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// justNow protects the file of a container that was made after the caller listed
// those that run.
const justNow = time.Minute

// Prune deletes files whose last line is older than MaxAge, and of each app the
// oldest until no more than MaxSize is left. The files of the containers in live
// stay whatever their age and size, as does the one that Write writes.
func (l *Logs) Prune(live []string) error {
	keep := map[string]bool{ownFile: true}
	for _, container := range live {
		keep[filepath.Base(container)+extension] = true
	}
	apps, err := os.ReadDir(l.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, app := range apps {
		if app.IsDir() {
			errs = append(errs, l.pruneApp(filepath.Join(l.Dir, app.Name()), keep))
		}
	}
	return errors.Join(errs...)
}

func (l *Logs) pruneApp(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var old []fs.FileInfo
	var total int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // gone already
		}
		total += info.Size()
		if !keep[e.Name()] && time.Since(info.ModTime()) > justNow {
			old = append(old, info)
		}
	}
	slices.SortFunc(old, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	var errs []error
	for _, info := range old {
		if total <= l.MaxSize && time.Since(info.ModTime()) <= l.MaxAge {
			break
		}
		total -= info.Size()
		if err := os.Remove(filepath.Join(dir, info.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
