// Package vault keeps the bytes of backups on local disk. A backup is a folder:
//
//	ID/data.tar.zst   the add-on's volumes, each below a folder of its name
//	ID/NAME.zst       the portable dump, if the service has one
//	ID/manifest.json  what it is, with size and SHA-256 of each part, for people
//
// A folder is written under a temporary name and renamed once it is on disk, and each
// later part likewise, so a crash leaves none half-made. See docs/backups.md for
// restoring one by hand.
package vault

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
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"

	"towline/daemon"
)

const (
	dataName     = "data.tar.zst"
	manifestName = "manifest.json"
	partial      = ".partial"
)

// Vault is a directory of backups.
type Vault struct{ dir string }

var _ daemon.Vault = (*Vault)(nil)

// New returns the vault at dir, which exists. What an earlier process left half-made
// is removed.
func New(dir string) (*Vault, error) {
	left, err := filepath.Glob(filepath.Join(dir, "*"+partial))
	for _, d := range left {
		err = errors.Join(err, os.RemoveAll(d))
	}
	return &Vault{dir}, err
}

// Store implements daemon.Vault.
func (v *Vault) Store(ctx context.Context, id string, dirs map[string]string, about any) (part daemon.Part, err error) {
	tmp := filepath.Join(v.dir, id+partial)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return part, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	part, err = pack(filepath.Join(tmp, dataName), func(w io.Writer) error {
		tw := tar.NewWriter(w)
		for _, name := range slices.Sorted(maps.Keys(dirs)) {
			if err := writeTree(ctx, tw, name, dirs[name]); err != nil {
				return err
			}
		}
		return tw.Close()
	})
	if err != nil {
		return part, err
	}
	if err := describe(tmp, about, part); err != nil {
		return part, err
	}
	if err := os.Rename(tmp, filepath.Join(v.dir, id)); err != nil {
		return part, err
	}
	return part, syncDir(v.dir)
}

// Add implements daemon.Vault.
func (v *Vault) Add(_ context.Context, id, name string, write func(io.Writer) error) (daemon.Part, error) {
	path := filepath.Join(v.dir, id, filepath.Base(name)+".zst")
	part, err := pack(path+partial, write)
	if err == nil {
		err = os.Rename(path+partial, path)
	}
	if err != nil {
		return part, errors.Join(err, os.RemoveAll(path+partial))
	}
	part.File = filepath.Base(path)
	return part, syncDir(filepath.Dir(path))
}

// Describe implements daemon.Vault.
func (v *Vault) Describe(_ context.Context, id string, about any, parts ...daemon.Part) error {
	return describe(filepath.Join(v.dir, id), about, parts...)
}

// describe replaces the manifest in a backup's folder.
func describe(dir string, about any, parts ...daemon.Part) error {
	text, err := json.MarshalIndent(map[string]any{"backup": about, "parts": parts}, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, manifestName+partial)
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := writeSync(tmp, append(text, '\n')); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, manifestName)); err != nil {
		return err
	}
	return syncDir(dir)
}

// pack writes a compressed file and syncs it. On error nothing of it is left.
func pack(path string, write func(io.Writer) error) (part daemon.Part, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return part, err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	sum := sha256.New()
	z, err := zstd.NewWriter(io.MultiWriter(f, sum), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return part, err
	}
	err = write(z)
	if err = errors.Join(err, z.Close()); err != nil {
		return part, err
	}
	if err := f.Sync(); err != nil {
		return part, err
	}
	info, err := f.Stat()
	if err != nil {
		return part, err
	}
	return daemon.Part{File: filepath.Base(path), Size: info.Size(), SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// Load implements daemon.Vault. The sum is checked before the first file is written.
func (v *Vault) Load(ctx context.Context, id string, part daemon.Part, dirs map[string]string) error {
	r, err := v.Open(ctx, id, part)
	if err != nil {
		return err
	}
	return errors.Join(readTree(ctx, tar.NewReader(r), dirs), r.Close())
}

// Open implements daemon.Vault.
func (v *Vault) Open(ctx context.Context, id string, part daemon.Part) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(v.dir, id, filepath.Base(part.File)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, daemon.Errorf(daemon.NotFound, "the files of backup %s are gone from %s", id, v.dir)
	}
	if err != nil {
		return nil, err
	}
	if err := verify(ctx, f, id, part.SHA256); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return unpacked{z, f}, nil
}

// unpacked is a part being read.
type unpacked struct {
	*zstd.Decoder
	f *os.File
}

func (u unpacked) Close() error {
	u.Decoder.Close()
	return u.f.Close()
}

// verify reads the whole file and rewinds it.
func verify(ctx context.Context, f *os.File, id, want string) error {
	sum := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		n, err := f.Read(buf)
		sum.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return daemon.Errorf(daemon.Failed, "backup %s is damaged: its SHA-256 is not what it was when it was stored", id).
			WithHint("nothing was changed; use another backup: towline backups")
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// Path is a backup's folder, whether or not it is there.
func (v *Vault) Path(id string) string { return filepath.Join(v.dir, id) }

// Delete implements daemon.Vault.
func (v *Vault) Delete(_ context.Context, id string) error {
	if id == "" || id == "." || id == ".." || filepath.Base(id) != id {
		return fmt.Errorf("%q is not the name of a backup", id)
	}
	return errors.Join(os.RemoveAll(filepath.Join(v.dir, id)), os.RemoveAll(filepath.Join(v.dir, id+partial)))
}

func writeSync(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
