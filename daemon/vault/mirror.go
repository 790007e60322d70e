package vault

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"towline/daemon"
)

// Mirror keeps copies of directories up to date. It remembers what each pass has seen
// and the hash of every block that it wrote, so that a later pass reads only files that
// have changed since, and writes only their blocks that differ.
type Mirror struct {
	dirs  map[string]string // source -> copy
	files map[string]*file  // by path of the copy
	// clone: the file system shares blocks between files, which costs next to nothing.
	clone bool
}

// file is what is known of a regular file's copy.
type file struct {
	seen    stamp
	settled bool     // every write after seen was taken leaves another stamp
	blocks  []uint64 // sums of what the copy holds
}

// stamp changes with every write to a file, but for writes within one tick of the
// kernel's clock.
type stamp struct {
	ino          uint64
	size         int64
	mtime, ctime unix.Timespec
	uid, gid     uint32
	mode         uint32
}

// grain is more than the tick by which kernels stamp files, 1 to 10 ms, and than a write
// may wait for the file system's journal after it has left its stamp and before its bytes
// are there to be read.
const grain = 2 * time.Second

// Mirror implements daemon.Vault.
func (v *Vault) Mirror(dirs map[string]string) daemon.Mirror {
	return &Mirror{dirs: dirs, files: map[string]*file{}, clone: true}
}

// Pass implements daemon.Mirror.
func (m *Mirror) Pass(ctx context.Context, frozen bool) (daemon.Pass, error) {
	w := &walk{m: m, frozen: frozen, seen: map[string]bool{}}
	w.group, w.ctx = errgroup.WithContext(ctx)
	w.group.SetLimit(runtime.GOMAXPROCS(0))
	var err error
	for src, dst := range m.dirs {
		if err = w.walk(src, dst); err != nil {
			break
		}
	}
	err = errors.Join(err, w.group.Wait())
	if err == nil {
		err = w.finish()
	}
	return daemon.Pass{Read: w.read.Load(), Written: w.written.Load()}, err
}

func (w *walk) walk(src, dst string) error {
	// The service may put a link in the place of a directory at any moment: no path is
	// followed out of the source.
	root, err := os.OpenRoot(src)
	if err != nil {
		return err
	}
	defer root.Close()
	return daemon.WalkRoot(root, func(name string, err error) error {
		if w.gone(err) && name != "." {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.ctx.Err(); err != nil {
			return context.Cause(w.ctx)
		}
		dir, err := w.entry(root, name, filepath.Join(dst, name))
		if w.gone(err) && name != "." || err == nil && !dir {
			return fs.SkipDir // even if it is a directory by now: its copy is none
		}
		return err
	})
}

// gone tells that an error is due to a service that runs: what was listed is not there
// any more, or is another kind of thing. The next pass sees what it is.
func (w *walk) gone(err error) bool {
	if w.frozen {
		return false
	}
	return daemon.MovedMeanwhile(err)
}

// entry copies what is under a name, but for what is below it, and tells whether it was a
// directory.
func (w *walk) entry(src *os.Root, name, dst string) (dir bool, err error) {
	info, err := src.Lstat(name)
	if err != nil {
		return false, err
	}
	if info.Mode()&(fs.ModeSocket|fs.ModeDevice|fs.ModeNamedPipe) != 0 {
		return false, nil // they mean nothing in a copy
	}
	w.seen[dst] = true
	if info.Mode().IsRegular() {
		return false, w.regular(src, name, dst)
	}
	have, err := os.Lstat(dst)
	if err == nil && have.Mode().Type() != info.Mode().Type() {
		if err := w.m.remove(dst); err != nil {
			return false, err
		}
		err = fs.ErrNotExist
	}
	there := err == nil
	if !info.IsDir() {
		return false, w.link(src, name, dst, info, there)
	}
	if !there {
		if err := os.Mkdir(dst, 0o700); err != nil {
			return false, err
		}
	}
	w.dirs = append(w.dirs, dirTime{dst, info.ModTime()})
	return true, errors.Join(chown(dst, info), os.Chmod(dst, info.Mode()))
}

// link copies a symbolic link, over one that is there.
func (w *walk) link(src *os.Root, name, dst string, info fs.FileInfo, there bool) error {
	link, err := src.Readlink(name)
	if err != nil {
		return err
	}
	if there {
		if err := os.Remove(dst); err != nil {
			return err
		}
	}
	return errors.Join(os.Symlink(link, dst), chown(dst, info))
}

// finish removes from the copies what is gone, and sets the times of directories,
// which writing into them has changed.
func (w *walk) finish() error {
	for _, dst := range w.m.dirs {
		err := filepath.WalkDir(dst, func(path string, e fs.DirEntry, err error) error {
			if err != nil || w.seen[path] {
				return err
			}
			if err := w.m.remove(path); err != nil {
				return err
			}
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, d := range w.dirs {
		if err := os.Chtimes(d.path, d.at, d.at); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes a copy and what is known of it.
func (m *Mirror) remove(path string) error {
	delete(m.files, path)
	for name := range m.files {
		if rest, below := cutDir(name, path); below && rest != "" {
			delete(m.files, name)
		}
	}
	return os.RemoveAll(path)
}

func cutDir(name, dir string) (rest string, below bool) {
	if len(name) > len(dir) && name[:len(dir)] == dir && name[len(dir)] == filepath.Separator {
		return name[len(dir)+1:], true
	}
	return "", false
}

func chown(path string, info fs.FileInfo) error {
	st := info.Sys().(*syscall.Stat_t)
	return os.Lchown(path, int(st.Uid), int(st.Gid))
}
