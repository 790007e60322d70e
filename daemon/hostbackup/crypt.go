package hostbackup

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"towline/daemon"
)

// Keys say whom a stream is encrypted to. A passphrase is one way, recipients the other.
type Keys struct {
	Recipients     []string // age1...
	PassphraseFile string
}

// identityName is the file, below the state, of a key that the machine itself opens its
// streams by, to try them. Whoever reads it can read the state itself.
const identityName = "backup.identity"

const passphraseLength = 12 // characters, at least

var hintKeys = `make a key on another machine, by age-keygen -o towline.key, and give its public half: --recipient age1...
or set recipients or passphrase_file under [backup] in towline.toml`

// recipients are those that were asked for, or else those of towline.toml; the machine's own
// is added to them. A passphrase stands alone.
func (h *Host) recipients(asked []string, passphrase string) ([]age.Recipient, error) {
	if passphrase == "" && len(asked) == 0 && len(h.Keys.Recipients) == 0 && h.Keys.PassphraseFile != "" {
		var err error
		if passphrase, err = ReadPassphrase(h.Keys.PassphraseFile); err != nil {
			return nil, err
		}
	}
	if passphrase != "" {
		if err := checkPassphrase(passphrase); err != nil {
			return nil, err
		}
		r, err := age.NewScryptRecipient(passphrase)
		return []age.Recipient{r}, err
	}
	if len(asked) == 0 {
		asked = h.Keys.Recipients
	}
	if len(asked) == 0 {
		return nil, daemon.Errorf(daemon.Invalid, "a backup of the machine holds all secrets, and nobody said whom to encrypt it to").WithHint("%s", hintKeys)
	}
	var list []age.Recipient
	for _, text := range asked {
		r, err := age.ParseX25519Recipient(strings.TrimSpace(text))
		if err != nil {
			return nil, daemon.Errorf(daemon.Invalid, "%q is no recipient of age's: %w", text[:min(len(text), 20)], err).WithHint("one begins with age1: age-keygen prints it")
		}
		list = append(list, r)
	}
	own, err := h.ownIdentity()
	if err != nil {
		return nil, err
	}
	return append(list, own.Recipient()), nil
}

func checkPassphrase(p string) error {
	if len([]rune(p)) < passphraseLength {
		return daemon.Errorf(daemon.Invalid, "the passphrase is shorter than %d characters", passphraseLength).WithHint("use several words: it opens everything that this machine has")
	}
	return nil
}

// ReadPassphrase reads the first line of a file that its owner alone can read.
func ReadPassphrase(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return "", daemon.Errorf(daemon.Invalid, "others can read %s", path).WithHint("chmod 600 it")
	}
	text, err := os.ReadFile(path)
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSuffix(line, "\r"), err
}

// ownIdentity is the machine's, made at its first use.
func (h *Host) ownIdentity() (*age.X25519Identity, error) {
	path := filepath.Join(h.State, identityName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, err
		}
		return id, writeWhole(path, []byte(id.String()+"\n"))
	}
	if err != nil {
		return nil, err
	}
	return age.ParseX25519Identity(strings.TrimSpace(string(text)))
}

// identities open a stream: by a passphrase, by a file of age's keys, by the passphrase of
// towline.toml and by the machine's own key.
func (h *Host) identities(u Unlock) (list []age.Identity, err error) {
	passphrase := u.Passphrase
	if passphrase == "" && u.IdentityFile == "" && h.Keys.PassphraseFile != "" {
		if passphrase, err = ReadPassphrase(h.Keys.PassphraseFile); err != nil {
			return nil, err
		}
	}
	if passphrase != "" {
		id, err := age.NewScryptIdentity(passphrase)
		if err != nil {
			return nil, err
		}
		list = append(list, id)
	}
	if u.IdentityFile != "" {
		f, err := os.Open(u.IdentityFile)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		ids, err := age.ParseIdentities(f)
		if err != nil {
			return nil, daemon.Errorf(daemon.Invalid, "%s holds no keys of age's: %w", u.IdentityFile, err)
		}
		list = append(list, ids...)
	}
	if own, oerr := h.ownIdentity(); oerr == nil {
		list = append(list, own)
	}
	return list, nil
}

// Unlock opens a stream.
type Unlock struct {
	Passphrase   string
	IdentityFile string
}

func (h *Host) decrypt(r io.Reader, u Unlock) (io.Reader, error) {
	ids, err := h.identities(u)
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(r, ids...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, daemon.Errorf(daemon.Forbidden, "neither this passphrase nor these keys open it").WithHint("give what it was encrypted to: --identity FILE or --passphrase-file FILE")
	case err != nil:
		return nil, daemon.Errorf(daemon.Invalid, "this is no backup of a machine: %w", err)
	}
	return plain, nil
}

// writeWhole writes a file that is there as a whole or not at all.
func writeWhole(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
