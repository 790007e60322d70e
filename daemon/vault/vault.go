// Package vault keeps the bytes of backups on local disk. A backup is a folder:
//
//	ID/data.tar.zst   the add-on's volumes, each below a folder of its name
//	ID/manifest.json  what it is, with size and SHA-256, for people and for Verify
//
// A folder is written under a temporary name and renamed once it is on disk, so a
// crash leaves none half-made. See docs/backups.md for restoring one by hand.
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
	"os"
	"path/filepath"

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
func (v *Vault) Store(ctx context.Context, id, tree string, about any) (stored daemon.Stored, err error) {
	tmp := filepath.Join(v.dir, id+partial)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return stored, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if stored, err = pack(ctx, tree, filepath.Join(tmp, dataName)); err != nil {
		return stored, err
	}
	text, err := json.MarshalIndent(map[string]any{
		"backup": about, "file": dataName, "size": stored.Size, "sha256": stored.SHA256,
	}, "", "  ")
	if err != nil {
		return stored, err
	}
	if err := writeSync(filepath.Join(tmp, manifestName), append(text, '\n')); err != nil {
		return stored, err
	}
	if err := syncDir(tmp); err != nil {
		return stored, err
	}
	if err := os.Rename(tmp, filepath.Join(v.dir, id)); err != nil {
		return stored, err
	}
	return stored, syncDir(v.dir)
}

// pack writes tree as a compressed tar and syncs it.
func pack(ctx context.Context, tree, path string) (daemon.Stored, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return daemon.Stored{}, err
	}
	defer f.Close()
	sum := sha256.New()
	z, err := zstd.NewWriter(io.MultiWriter(f, sum), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return daemon.Stored{}, err
	}
	tw := tar.NewWriter(z)
	if err := writeTree(ctx, tw, tree); err != nil {
		return daemon.Stored{}, err
	}
	if err := errors.Join(tw.Close(), z.Close(), f.Sync()); err != nil {
		return daemon.Stored{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return daemon.Stored{}, err
	}
	return daemon.Stored{Size: info.Size(), SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// Load implements daemon.Vault. The sum is checked before the first file is written.
func (v *Vault) Load(ctx context.Context, id, sha256sum, tree string) error {
	f, err := os.Open(filepath.Join(v.dir, id, dataName))
	if errors.Is(err, os.ErrNotExist) {
		return daemon.Errorf(daemon.NotFound, "the files of backup %s are gone from %s", id, v.dir)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := verify(f, id, sha256sum); err != nil {
		return err
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer z.Close()
	return readTree(ctx, tar.NewReader(z), tree)
}

// verify reads the whole file and rewinds it.
func verify(f *os.File, id, want string) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return daemon.Errorf(daemon.Failed, "backup %s is damaged: its SHA-256 is not what it was when it was stored", id).
			WithHint("nothing was changed; use another backup: towline backups")
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// Delete implements daemon.Vault.
func (v *Vault) Delete(_ context.Context, id string) error {
	if id == "" || filepath.Base(id) != id {
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
