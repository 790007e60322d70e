// Package disk tells who holds what of the machine's disks: apps, add-ons, and what
// Towline keeps for all of them. It changes nothing.
package disk

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"towline/daemon"
)

// Use is what one holder has, in bytes by kind.
type Use struct {
	Of    string           `json:"of"` // app, add-on or machine
	Name  string           `json:"name"`
	Parts map[string]int64 `json:"parts"`
	Total int64            `json:"total"`
}

// Report is everything, the largest first.
type Report struct {
	Uses []Use `json:"uses"`
	// Unread are directories that could not be read, and count nothing.
	Unread []string `json:"unread,omitempty"`
	Total  int64    `json:"total"`
	Free   int64    `json:"free"` // where the state is
	// Reserve is how much builds leave free.
	Reserve int64 `json:"reserve"`
}

// Place is a directory, or a number of bytes that is known already.
type Place struct {
	Of, Name, Part string
	Dir            string
	Bytes          int64
}

// Measure adds all places up.
func Measure(ctx context.Context, places []Place) (Report, error) {
	var r Report
	uses := map[[2]string]*Use{}
	for _, p := range places {
		n := p.Bytes
		if p.Dir != "" {
			size, err := Usage(ctx, p.Dir)
			if ctx.Err() != nil {
				return r, ctx.Err()
			}
			if err != nil {
				r.Unread = append(r.Unread, p.Dir)
			}
			n += size
		}
		key := [2]string{p.Of, p.Name}
		if uses[key] == nil {
			uses[key] = &Use{Of: p.Of, Name: p.Name, Parts: map[string]int64{}}
		}
		if n > 0 {
			uses[key].Parts[p.Part] += n
		}
		uses[key].Total += n
		r.Total += n
	}
	r.Uses = []Use{}
	for _, u := range uses {
		r.Uses = append(r.Uses, *u)
	}
	slices.SortFunc(r.Uses, func(a, b Use) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Of, b.Of), cmp.Compare(a.Name, b.Name))
	})
	return r, nil
}

// Usage is what a file or a tree takes on disk, in bytes. What goes meanwhile, and what is
// not there, counts nothing; no link is followed.
func Usage(ctx context.Context, path string) (total int64, err error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if !info.IsDir() {
		return blocks(info), nil
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	err = daemon.WalkRoot(root, func(name string, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			var info os.FileInfo
			if info, err = root.Lstat(name); err == nil {
				total += blocks(info)
			}
		}
		if name != "." && daemon.MovedMeanwhile(err) {
			return nil
		}
		return err
	})
	return total, err
}

func blocks(info os.FileInfo) int64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink > 1 && !info.IsDir() {
		return hardLink(info, st)
	}
	return st.Blocks * 512
}

// hardLink counts a file of several names by its share.
func hardLink(info os.FileInfo, st *syscall.Stat_t) int64 {
	if st == nil {
		return info.Size()
	}
	return st.Blocks * 512 / int64(st.Nlink)
}

// Free is how much is free where path is, in bytes.
func Free(path string) (int64, error) {
	var st syscall.Statfs_t
	err := syscall.Statfs(path, &st)
	return int64(st.Bavail) * st.Bsize, err
}
