package git

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"towline/daemon"
	"towline/daemon/shell"
)

// Keys is a daemon.Keys: an authorized_keys file in which every key is bound to
// towline-shell with its member's name and the key's own fingerprint.
type Keys struct {
	path  string
	shell []string
}

var _ daemon.Keys = (*Keys)(nil)

// NewKeys writes the list to path. The directory must be there; sshd's StrictModes
// wants it, and what is above it, to be writable by root alone. shell is the path
// of towline-shell with any options that come before --member.
func NewKeys(path string, shell ...string) *Keys {
	return &Keys{path: path, shell: shell}
}

// Replace implements daemon.Keys. The file is readable by all and, as whoever
// runs the daemon owns it, written by no one else.
func (k *Keys) Replace(_ context.Context, keys []daemon.MemberKey) error {
	var text strings.Builder
	text.WriteString("# Written by towlined; towline members:add, keys:add and keys:remove change it.\n")
	for _, key := range keys {
		line, err := k.line(key)
		if err != nil {
			return fmt.Errorf("key %s of member %q: %w", key.Fingerprint, key.Member, err)
		}
		text.WriteString(line)
	}
	if err := writeFile(k.path, text.String()); err != nil {
		return fmt.Errorf("writing the list of SSH keys: %w", err)
	}
	return nil
}

// line is the key with what its owner may do: run towline-shell, with a terminal
// and without forwarding of any kind.
func (k *Keys) line(key daemon.MemberKey) (string, error) {
	if err := daemon.CheckMemberName(key.Member); err != nil {
		return "", err
	}
	canonical, fingerprint, err := k.Parse(key.Key) // whatever the caller made of it since
	if err != nil {
		return "", err
	}
	words := slices.Concat(k.shell, []string{"--member", key.Member, "--key", fingerprint})
	for i, word := range words {
		if words[i], err = quote(word); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("command=\"%s\",restrict,pty %s\n", strings.Join(words, " "), canonical), nil
}

// quote protects a word from the login shell that sshd hands the command to, and
// from sshd's own reading of the line.
func quote(word string) (string, error) {
	if strings.ContainsAny(word, "'\"\\\n\r\x00") {
		return "", fmt.Errorf("%q cannot be part of a forced command", word)
	}
	return shell.Quote(word), nil
}

const minRSABits = 2048

var keyTypes = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoRSA,
}

// Parse implements daemon.Keys. The canonical form is type, key and, if there is
// one, comment.
func (k *Keys) Parse(line string) (key, fingerprint string, err error) {
	line = strings.TrimSpace(line)
	if err := checkText(line); err != nil {
		return "", "", err
	}
	public, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return "", "", daemon.Errorf(daemon.Invalid, "this is not an SSH public key").WithHint("%s", hintKey)
	}
	if len(options) > 0 {
		return "", "", daemon.Errorf(daemon.Invalid, "the key begins with options").
			WithHint("give the key alone, from its type, like ssh-ed25519, on")
	}
	if err := checkType(public); err != nil {
		return "", "", err
	}
	key = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
	if comment = cleanComment(comment); comment != "" {
		key += " " + comment
	}
	return key, ssh.FingerprintSHA256(public), nil
}

const (
	hintKey     = "give one line of a public key file, like ~/.ssh/id_ed25519.pub"
	hintNewKey  = "make a new one: ssh-keygen -t ed25519"
	maxKeyLine  = 16 << 10 // an RSA key of 16384 bits takes 3 KiB
	maxComment  = 100
	privateMark = "PRIVATE KEY"
	rfc4716Mark = "BEGIN SSH2 PUBLIC KEY"
	puttyMark   = "PuTTY-User-Key-File"
)

// checkText finds what people paste in place of one public key line.
func checkText(line string) error {
	invalid := func(format string, args ...any) *daemon.Error { return daemon.Errorf(daemon.Invalid, format, args...) }
	switch {
	case line == "":
		return invalid("there is no key").WithHint("%s", hintKey)
	case strings.Contains(line, privateMark), strings.Contains(line, puttyMark):
		return invalid("this is a private key").
			WithHint("keep it to yourself: give the public key, from the file whose name ends in .pub")
	case strings.Contains(line, rfc4716Mark):
		return invalid("this key is not in OpenSSH's format").WithHint("convert it: ssh-keygen -i -f FILE")
	case strings.ContainsAny(line, "\r\n"):
		return invalid("there are several lines").WithHint("add one key at a time")
	case len(line) > maxKeyLine:
		return invalid("the key is %d bytes long", len(line)).WithHint("%s", hintKey)
	case strings.HasPrefix(line, "#"):
		return invalid("this line is a comment").WithHint("%s", hintKey)
	case strings.HasPrefix(line, "ssh-dss"):
		return invalid("DSA keys are too weak").WithHint("%s", hintNewKey)
	}
	return nil
}

func checkType(public ssh.PublicKey) error {
	if strings.Contains(public.Type(), "-cert-") {
		return daemon.Errorf(daemon.Invalid, "this is a certificate, not a key").WithHint("give the public key that it was made of")
	}
	if !slices.Contains(keyTypes, public.Type()) {
		return daemon.Errorf(daemon.Invalid, "keys of type %s are not accepted", public.Type()).WithHint("%s", hintNewKey)
	}
	if c, ok := public.(ssh.CryptoPublicKey); ok {
		if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() < minRSABits {
			return daemon.Errorf(daemon.Invalid, "an RSA key of %d bits is too weak; at least %d are needed", r.N.BitLen(), minRSABits).
				WithHint("%s", hintNewKey)
		}
	}
	return nil
}

// cleanComment keeps what can be shown in a listing.
func cleanComment(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s[:min(len(s), maxComment)])
}

// writeFile replaces a file in one step: sshd reads the old list or the new one.
func writeFile(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}
