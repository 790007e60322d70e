package vault

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// writeTree adds everything below dir to the archive, with owners, modes and times.
// Sockets are left out: they mean nothing in a copy.
func writeTree(ctx context.Context, tw *tar.Writer, dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == "." {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode()&(fs.ModeSocket|fs.ModeDevice|fs.ModeNamedPipe) != 0 {
			return nil
		}
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(path); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err
		}
		header.Name, header.Format = name, tar.FormatPAX
		header.Uname, header.Gname = "", "" // ids are the container's: names here mean nothing
		if err := tw.WriteHeader(header); err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(tw, f)
		return err
	})
}

// readTree writes an archive below dir. The archive is ours, and its sum was checked,
// yet nothing in it can lead out of dir.
func readTree(ctx context.Context, tr *tar.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var dirs []*tar.Header
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if h.Typeflag == tar.TypeDir {
			dirs = append(dirs, h)
		}
		if err := readEntry(root, tr, h); err != nil {
			return err
		}
	}
	for _, h := range dirs { // last: writing into one changed its time
		if err := root.Chtimes(h.Name, h.ModTime, h.ModTime); err != nil {
			return err
		}
	}
	return nil
}

func readEntry(root *os.Root, tr *tar.Reader, h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.Mkdir(h.Name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case tar.TypeSymlink:
		if err := root.Symlink(h.Linkname, h.Name); err != nil {
			return err
		}
		return root.Lchown(h.Name, h.Uid, h.Gid)
	case tar.TypeReg:
		f, err := root.OpenFile(h.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, tr)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	default:
		return nil
	}
	if err := root.Lchown(h.Name, h.Uid, h.Gid); err != nil {
		return err
	}
	if err := root.Chmod(h.Name, h.FileInfo().Mode()); err != nil {
		return err
	}
	return root.Chtimes(h.Name, h.ModTime, h.ModTime)
}

// Sync implements daemon.Vault: it makes dst a copy of src. What a Sync before has
// copied and is unchanged since, by size and time, is not read again.
func (v *Vault) Sync(ctx context.Context, src, dst string) error {
	seen := map[string]bool{}
	err := filepath.WalkDir(src, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // went while we walked: the service runs
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		name, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		seen[name] = true
		err = syncEntry(path, filepath.Join(dst, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return removeUnseen(dst, seen)
}

func removeUnseen(dst string, seen map[string]bool) error {
	return filepath.WalkDir(dst, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dst, path)
		if err != nil || seen[name] {
			return err
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

func syncEntry(src, dst string) error {
	info, err := os.Lstat(src)
	if err != nil {
		return err
	}
	have, haveErr := os.Lstat(dst)
	if haveErr == nil && have.Mode().Type() != info.Mode().Type() {
		if err := os.RemoveAll(dst); err != nil {
			return err
		}
		haveErr = fs.ErrNotExist
	}
	switch {
	case info.IsDir():
		if haveErr != nil {
			if err := os.Mkdir(dst, 0o700); err != nil {
				return err
			}
		}
	case info.Mode().IsRegular():
		if haveErr == nil && have.Size() == info.Size() && have.ModTime().Equal(info.ModTime()) {
			return nil
		}
		if err := copyFile(src, dst); err != nil {
			return err
		}
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(src)
		if err != nil {
			return err
		}
		if haveErr == nil {
			if err := os.Remove(dst); err != nil {
				return err
			}
		}
		if err := os.Symlink(link, dst); err != nil {
			return err
		}
		return chown(dst, info)
	default:
		return nil
	}
	if err := errors.Join(chown(dst, info), os.Chmod(dst, info.Mode())); err != nil {
		return err
	}
	return stamp(dst, info)
}

func chown(path string, info fs.FileInfo) error {
	st := info.Sys().(*syscall.Stat_t)
	return os.Lchown(path, int(st.Uid), int(st.Gid))
}

// stamp gives the copy the time that the original had before it was read. A file
// touched so recently that one more write could leave its time as it is gets none:
// the next Sync then reads it again.
func stamp(path string, info fs.FileInfo) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return err
	}
	const grain = 50_000_000 // ns; kernels stamp files by their tick, 1 to 10 ms
	at := info.ModTime()
	if now.Nano()-at.UnixNano() < grain {
		return os.Chtimes(path, at.AddDate(-1, 0, 0), at.AddDate(-1, 0, 0))
	}
	return os.Chtimes(path, at, at)
}

// copyFile shares the blocks where the file system can, and else copies them.
func copyFile(src, dst string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) == nil {
		return out.Close()
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
