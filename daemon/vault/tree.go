package vault

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// writeTree adds a directory to the archive, under a name, and everything below it, with
// owners, modes and times. Sockets are left out: they mean nothing in a copy.
func writeTree(ctx context.Context, tw *tar.Writer, under, dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
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
		header.Name, header.Format = filepath.Join(under, name), tar.FormatPAX
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

// readTree writes an archive: what is below a name in it, into that name's directory.
// The archive is ours, and its sum was checked, yet nothing in it can lead out of them.
func readTree(ctx context.Context, tr *tar.Reader, dirs map[string]string) (err error) {
	roots := map[string]*os.Root{}
	for name, dir := range dirs {
		root, rerr := os.OpenRoot(dir)
		if rerr != nil {
			return rerr
		}
		defer root.Close()
		roots[name] = root
	}
	var last []func() error
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
		name, rest, _ := strings.Cut(strings.TrimSuffix(h.Name, "/"), "/")
		root := roots[name]
		if root == nil {
			return fmt.Errorf("the archive has %q, which this service has no volume for", h.Name)
		}
		if h.Name = rest; rest == "" {
			h.Name = "."
		}
		if err := readEntry(root, tr, h); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeDir { // last: writing into one changes its time
			last = append(last, func() error { return root.Chtimes(h.Name, h.ModTime, h.ModTime) })
		}
	}
	for _, f := range last {
		err = errors.Join(err, f())
	}
	return err
}

func readEntry(root *os.Root, tr *tar.Reader, h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.Mkdir(h.Name, 0o700); h.Name != "." && err != nil && !errors.Is(err, fs.ErrExist) {
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
		err = writeSparse(f, tr)
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
