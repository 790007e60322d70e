package hostbackup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"towline/daemon"
)

// errShort is the error of a stream that lacks its end.
var errShort = daemon.Errorf(daemon.Invalid, "the backup is not whole: it was cut short, or changed").WithHint("use another one")

// limits of what is read into memory.
const (
	maxText    = 16 << 20
	maxEntries = 1 << 20
)

// unpack reads a stream to its end, writes its files below root and hands the images, as
// one archive, to images. Nothing of it counts unless err is nil: then every entry is as
// its sum says, and all are there. accept looks at the manifest, which comes first.
func (h *Host) unpack(ctx context.Context, r io.Reader, u Unlock, root *os.Root, accept func(Manifest) error, images func(context.Context, io.Reader) error) (Result, error) {
	in := &counted{r: r}
	plain, err := h.decrypt(in, u)
	if err != nil {
		return Result{}, err
	}
	z, err := zstd.NewReader(plain, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return Result{}, err
	}
	defer z.Close()
	res := Result{}
	e := &entries{ctx: ctx, tar: tar.NewReader(z), sums: map[string]string{}}
	joined := newJoined(ctx, images)
	err = e.each(func(name string, body io.Reader) error {
		switch {
		case name == manifestName:
			err := readJSON(body, &res.Manifest)
			if err != nil {
				return err
			}
			if res.Format > format {
				return daemon.Errorf(daemon.Invalid, "this backup is of a newer Towline, %s", res.Version).WithHint("install that version")
			}
			return accept(res.Manifest)
		case name == summaryName:
			return readJSON(body, &res.Summary)
		case strings.HasPrefix(name, imagesDir):
			return joined.add(body)
		}
		return writeEntry(root, name, body)
	})
	err = errors.Join(err, joined.end(err))
	if err == nil {
		// What is behind the tar's end has to be read for age to tell a cut stream.
		_, err = io.Copy(io.Discard, z)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.Join(errShort, err)
	}
	if err != nil {
		return res, err
	}
	want := res.Sums
	delete(e.sums, summaryName)
	if len(want) == 0 || !maps.Equal(want, e.sums) {
		return res, errShort
	}
	res.Size = in.n
	return res, nil
}

type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// entries are those of a tar, with their sums.
type entries struct {
	ctx  context.Context
	tar  *tar.Reader
	sums map[string]string
}

func (e *entries) each(f func(name string, body io.Reader) error) error {
	for {
		header, err := e.tar.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := header.Name
		if header.Typeflag != tar.TypeReg || name != path.Clean(name) || len(e.sums) > maxEntries {
			return daemon.Errorf(daemon.Invalid, "the backup has an entry %q that none has", name)
		}
		sum := sha256.New()
		body := io.TeeReader(e.tar, sum)
		if err := f(name, body); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return err
		}
		e.sums[name] = hex.EncodeToString(sum.Sum(nil))
		if e.ctx.Err() != nil {
			return context.Cause(e.ctx)
		}
	}
}

func readJSON(r io.Reader, v any) error {
	text, err := io.ReadAll(io.LimitReader(r, maxText))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// writeEntry writes a file below root, on disk when it returns. Only names that a backup
// has are taken.
func writeEntry(root *os.Root, name string, body io.Reader) error {
	top, _, _ := strings.Cut(name, "/")
	switch top {
	case "README":
		return nil
	case "state", "proxy", "etc", "repositories":
	default:
		return daemon.Errorf(daemon.Invalid, "no backup has that")
	}
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Sync(), f.Close())
}

// joined hands parts to who reads them as one stream.
type joined struct {
	ctx  context.Context
	to   func(context.Context, io.Reader) error
	w    *io.PipeWriter
	done chan error
}

func newJoined(ctx context.Context, to func(context.Context, io.Reader) error) *joined {
	return &joined{ctx: ctx, to: to}
}

func (j *joined) add(body io.Reader) error {
	if j.w == nil {
		var r *io.PipeReader
		r, j.w = io.Pipe()
		j.done = make(chan error, 1)
		go func() {
			var err error
			defer func() {
				r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
				j.done <- err
			}()
			defer daemon.Contain("the images of a backup", &err)
			// An HTTP client closes what it can close, and what is behind is still to be read.
			if err = j.to(j.ctx, struct{ io.Reader }{r}); err == nil {
				_, err = io.Copy(io.Discard, r)
			}
		}()
	}
	_, err := io.Copy(j.w, body)
	return err
}

// end waits for the reader; cause is why there will be no more, nil: it was all.
func (j *joined) end(cause error) error {
	if j.w == nil {
		return nil
	}
	j.w.CloseWithError(cause) // nil is the end
	return <-j.done
}
