package hostbackup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// archive is a stream being written.
type archive struct {
	tar  *tar.Writer
	zstd *zstd.Encoder
	age  io.WriteCloser
	out  *counter
	sums map[string]string
	when time.Time
}

// counter counts what goes through.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func newArchive(w io.Writer, to []age.Recipient, when time.Time) (*archive, error) {
	a := &archive{out: &counter{w: w}, sums: map[string]string{}, when: when}
	var err error
	if a.age, err = age.Encrypt(a.out, to...); err != nil {
		return nil, err
	}
	if a.zstd, err = zstd.NewWriter(a.age, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
		return nil, err
	}
	a.tar = tar.NewWriter(a.zstd)
	return a, nil
}

// Close ends the stream. One that was not closed does not decrypt to its end.
func (a *archive) Close() error {
	return errors.Join(a.tar.Close(), a.zstd.Close(), a.age.Close())
}

// add writes an entry of size bytes.
func (a *archive) add(name string, size int64, r io.Reader) error {
	if _, there := a.sums[name]; there {
		return fmt.Errorf("%s comes twice", name)
	}
	err := a.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: a.when, Typeflag: tar.TypeReg, Format: tar.FormatPAX})
	if err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(a.tar, sum), r, size); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	a.sums[name] = hex.EncodeToString(sum.Sum(nil))
	return nil
}

func (a *archive) addText(name string, text []byte) error {
	return a.add(name, int64(len(text)), bytes.NewReader(text))
}

// addFile writes an open file, as large as it is now.
func (a *archive) addFile(name string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return a.add(name, info.Size(), f)
}

// addPath writes a file.
func (a *archive) addPath(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return a.addFile(name, f)
}

// partSize is the size of the entries that hold what comes without a length.
const partSize = 8 << 20

// parts writes what is written to it as entries dir/000000, dir/000001, ...
type parts struct {
	a   *archive
	dir string
	n   int
	buf []byte
}

func (p *parts) Write(b []byte) (int, error) {
	written := len(b)
	for len(b) > 0 {
		n := min(len(b), partSize-len(p.buf))
		p.buf, b = append(p.buf, b[:n]...), b[n:]
		if len(p.buf) == partSize {
			if err := p.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (p *parts) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	err := p.a.addText(fmt.Sprintf("%s%06d", p.dir, p.n), p.buf)
	p.n, p.buf = p.n+1, p.buf[:0]
	return err
}
