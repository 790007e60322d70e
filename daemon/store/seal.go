package store

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// sealer encrypts values with XChaCha20-Poly1305. A sealed value is a version
// byte, a random nonce and the ciphertext. It is bound to its place: moved to
// another row or column it does not open.
type sealer struct{ aead cipher.AEAD }

const sealVersion = 1

func newSealer(key []byte) (*sealer, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("key is %d bytes long in place of %d", len(key), KeySize)
	}
	return &sealer{aead}, nil
}

// place names a value: its column, then the key of its row. No part holds a NUL.
func place(parts ...string) []byte { return []byte(strings.Join(parts, "\x00")) }

func (s *sealer) seal(plain, place []byte) []byte {
	out := make([]byte, 1+chacha20poly1305.NonceSizeX, 1+chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	out[0] = sealVersion
	rand.Read(out[1:]) // never fails
	return s.aead.Seal(out, out[1:], plain, place)
}

var errSeal = errors.New("a sealed value does not open: it was changed or moved outside Towline")

func (s *sealer) open(sealed, place []byte) ([]byte, error) {
	const head = 1 + chacha20poly1305.NonceSizeX
	if len(sealed) < head || sealed[0] != sealVersion {
		return nil, errSeal
	}
	plain, err := s.aead.Open(nil, sealed[1:head], sealed[head:], place)
	if err != nil {
		return nil, errSeal
	}
	return plain, nil
}

func (s *sealer) sealMap(m map[string]string, place []byte) []byte {
	plain, err := json.Marshal(m)
	if err != nil {
		panic(err) // a map of strings
	}
	return s.seal(plain, place)
}

func (s *sealer) openMap(sealed, place []byte) (m map[string]string, err error) {
	plain, err := s.open(sealed, place)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(plain, &m)
	return m, err
}

// check compares the key with the one that the database was made with.
func (s *sealer) check(ctx context.Context, conn *sql.Conn) error {
	where := place("meta", "key-check")
	var sealed []byte
	err := conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'key-check'").Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = conn.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES ('key-check', ?)", s.seal(nil, where))
		return err
	}
	if err != nil {
		return err
	}
	if _, err := s.open(sealed, where); err != nil {
		return errors.New("its config vars and credentials are sealed with another key: put back the key file that belongs to it")
	}
	return nil
}
