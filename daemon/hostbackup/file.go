package hostbackup

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"towline/daemon"
)

// Stream writes a backup to out, for whoever asked for it.
func (h *Host) Stream(ctx context.Context, req Request) (Result, error) {
	res, err := h.Backup(ctx, req)
	return res, h.taken(res, "standard output", err)
}

// File writes a backup to a file that is there whole, and on disk, or not at all. One of
// that name is never replaced.
func (h *Host) File(ctx context.Context, path string, req Request) (res Result, err error) {
	res, err = h.file(ctx, path, req)
	return res, h.taken(res, path, err)
}

func (h *Host) file(ctx context.Context, path string, req Request) (res Result, err error) {
	if _, err := os.Lstat(path); err == nil {
		return res, daemon.Errorf(daemon.Exists, "%s is there already", path).WithHint("give another name: a backup never replaces a file")
	}
	tmp := path + ".partial"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return res, err
	}
	req.Out = f
	res, err = h.Backup(ctx, req)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		return res, errors.Join(err, os.Remove(tmp))
	}
	return res, syncDir(filepath.Dir(path))
}

// Try verifies a stream and remembers it.
func (h *Host) Try(ctx context.Context, r io.Reader, u Unlock, out io.Writer) (Result, error) {
	res, err := h.Verify(ctx, r, u, out)
	if err != nil {
		return res, err
	}
	return res, h.NoteVerified()
}
