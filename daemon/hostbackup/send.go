package hostbackup

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"towline/daemon"
	"towline/daemon/work"
)

// ToOffsite is the place of backups that go to the offsite server.
const ToOffsite = "offsite"

const (
	// outName is the directory for the backup that is on its way to the offsite server, and
	// outFile its name there: always the same, so that it is found without Towline.
	outName = "host-backup"
	outFile = "machine.towline.age"
)

// Send takes a backup, tries it by restoring it, and copies it to the offsite server, where all
// but the newest keep go; 0: none goes. It takes the room of the backup on this machine
// meanwhile.
func (h *Host) Send(ctx context.Context, req Request, keep int) (res Result, err error) {
	if h.Offsite == nil {
		return res, daemon.Errorf(daemon.Invalid, "there is no offsite server").WithHint("name one under [offsite] in towline.toml")
	}
	if !h.sending.TryLock() {
		return res, daemon.Errorf(daemon.Conflict, "another backup is on its way to the offsite server").WithHint("towline host:backup:info tells when it is there")
	}
	defer h.sending.Unlock()
	dir := filepath.Join(h.State, outName)
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, outFile)
	place := h.Offsite.Place()
	res, err = h.file(ctx, path, req)
	if err == nil {
		work.Stage(req.Progress, "Restoring it into a second root, to try it")
		err = h.tryFile(ctx, path, Unlock{Passphrase: req.Passphrase}, req.Progress)
	}
	if err == nil {
		work.Stage(req.Progress, "Sending it to %s", place)
		err = h.Offsite.SendMachine(ctx, path, keep)
	}
	return res, h.taken(res, place, err)
}

// RemoveUnsent removes what a Send that was killed has left: at the daemon's start.
func (h *Host) RemoveUnsent() error { return os.RemoveAll(filepath.Join(h.State, outName)) }
