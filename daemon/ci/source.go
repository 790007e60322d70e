package ci

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"towline/daemon"
	"towline/daemon/work"
)

// KeptSources is of how many runs of an app the source is kept, the newest: they can run again.
const KeptSources = 5

// maxKept is how much source is kept, in bytes. That of a run with more is not.
const maxKept = 256 << 20

const sourceEnd = ".tar.gz"

func (ts *Tests) sources() string { return filepath.Join(ts.Dir, "tests") }

// keepSource has the request's source written beside where it is unpacked. keep has that outlive the
// run; what can't be kept is no reason not to run.
func (ts *Tests) keepSource(id string, req *Request) (keep func()) {
	path := filepath.Join(work.Dir(ts.Dir, id), "source"+sourceEnd)
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.MkdirAll(ts.sources(), 0o700))
	if err != nil {
		ts.Log.Error("keeping the source of a test run", "err", err)
		return func() {}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		ts.Log.Error("keeping the source of a test run", "err", err)
		return func() {}
	}
	packed, _ := gzip.NewWriterLevel(f, gzip.BestSpeed) // a level that there is
	w := &bounded{to: packed, left: maxKept}
	req.Source = io.TeeReader(req.Source, w)
	return func() {
		err := errors.Join(w.err, packed.Close(), f.Close())
		if w.left < 0 {
			return
		}
		if err == nil {
			err = os.Rename(path, filepath.Join(ts.sources(), id+sourceEnd))
		}
		if err != nil {
			ts.Log.Error("keeping the source of a test run", "err", err)
		}
	}
}

// bounded never fails: it keeps the error, and has less than nothing left once there was too much.
type bounded struct {
	to   io.Writer
	left int64
	err  error
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left >= 0 && b.err == nil {
		_, b.err = b.to.Write(p)
	}
	return len(p), nil
}

// Rerun runs the tests of the source of an earlier run again; number 0 is the newest.
func (ts *Tests) Rerun(ctx context.Context, app, member string, number int, out io.Writer) (daemon.TestRun, error) {
	return ts.again(ctx, Request{App: app, Member: member}, number, out)
}

// again carries out a request whose source is that of an earlier run.
func (ts *Tests) again(ctx context.Context, req Request, number int, out io.Writer) (daemon.TestRun, error) {
	app := req.App
	r, err := ts.TestRun(ctx, app, number)
	if err != nil {
		return r, err
	}
	f, err := os.Open(filepath.Join(ts.sources(), r.ID+sourceEnd))
	if errors.Is(err, os.ErrNotExist) {
		return r, daemon.Errorf(daemon.Conflict, "the source of test run %d is not kept: that of the newest %d is, up to %s", r.Number, KeptSources, daemon.BytesText(maxKept)).
			WithHint("push it again: git push towline HEAD:refs/ci/%s", daemon.Clip(r.Branch))
	}
	if err != nil {
		return r, err
	}
	defer f.Close()
	source, err := gzip.NewReader(f)
	if err != nil {
		return r, err
	}
	req.Branch, req.Commit, req.Subject, req.Source = r.Branch, r.Commit, r.Subject, source
	return ts.Run(ctx, req, out)
}

// Sweep removes the source of runs that are not among the newest of an app that there is.
func (ts *Tests) Sweep(ctx context.Context) error {
	entries, err := os.ReadDir(ts.sources())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	err = ts.Store.View(ctx, func(tx daemon.Tx) error {
		apps, err := tx.Apps()
		for _, a := range apps {
			runs, rerr := tx.TestRuns(a.Name)
			for _, r := range runs[:min(len(runs), KeptSources)] {
				kept[r.ID] = true
			}
			err = errors.Join(err, rerr)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !kept[strings.TrimSuffix(e.Name(), sourceEnd)] {
			err = errors.Join(err, os.Remove(filepath.Join(ts.sources(), e.Name())))
		}
	}
	return err
}
