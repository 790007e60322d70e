package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// KeySize is the length of the key that seals secrets, in bytes.
const KeySize = 32

// LoadKey reads the key at path, and makes a random one there at first use. The
// file must be readable by its owner alone. Whoever loses it loses every config
// var and credential: a backup of the database needs one of the key.
func LoadKey(path string) ([]byte, error) {
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createKey(path); err != nil {
			return nil, fmt.Errorf("creating the key: %w", err)
		}
		key, err = readKey(path)
	}
	return key, err
}

func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("key %s has mode %04o: others could read it; chmod 600 it, and rotate what it sealed if they may have", path, mode)
	}
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("key %s is %d bytes long in place of %d: put back the file from a backup", path, len(key), KeySize)
	}
	return key, nil
}

// createKey writes the whole key under another name first, so that a crash never
// leaves half of one, and links it, which never replaces a key that is there.
func createKey(path string) error {
	key := make([]byte, KeySize)
	rand.Read(key)                                        // never fails
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(key)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}
