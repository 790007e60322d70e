package backups

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"towline/daemon/work"
)

// spoolStep is how many bytes of an input are taken in between two looks at the disk.
const spoolStep = 64 << 20

// spool takes an input in whole, as a file that is gone once it is closed. It leaves the
// disk some room.
func (re *Restores) spool(ctx context.Context, subject string, r io.Reader, out io.Writer) (*os.File, error) {
	unlock, err := re.Journal.LockInput(ctx, subject, out)
	if err != nil {
		return nil, err
	}
	defer unlock()
	dir := filepath.Join(re.Dir, "work")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "input-")
	if err != nil {
		return nil, err
	}
	in := work.NewInput(r, re.InputIdle)
	if err = os.Remove(f.Name()); err == nil {
		err = re.fill(ctx, f, in)
	}
	if broken := in.Broken(); broken != nil {
		err = broken
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, re.backups.explainFull(ctx, err)
	}
	return f, nil
}

func (re *Restores) fill(ctx context.Context, f *os.File, in io.Reader) error {
	for {
		if err := re.backups.fits(ctx, "taking in the input", re.Dir, spoolStep); err != nil {
			return err
		}
		if _, err := io.CopyN(f, in, spoolStep); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
