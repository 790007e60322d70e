package doctor

import (
	"context"
	"os"
	"slices"
	"strings"
)

const sshdPath = "/usr/sbin/sshd"

// sshd has sshd itself say what its files come to for the account.
func (m Machine) sshd(ctx context.Context) (SSHD, error) {
	s := SSHD{User: m.User, Keys: m.Keys}
	if _, err := os.Stat("/run/sshd"); err != nil {
		// Without it sshd does not even tell; making it is what starting sshd does.
		return s, err
	}
	out, err := ask(ctx, sshdPath, "-T", "-C", "user="+m.User+",host=localhost,addr=127.0.0.1")
	if err != nil {
		return s, err
	}
	s.read(out)
	return s, nil
}

// read takes what sshd -T says: a keyword in lower case and its values on each line.
func (s *SSHD) read(text string) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "authorizedkeysfile":
			s.Reads = strings.Fields(value)
		case "authorizedkeyscommand":
			if value != "none" {
				s.Command = value
			}
		case "forcecommand":
			if value != "none" {
				s.Forced = value
			}
		case "pubkeyauthentication":
			if value != "yes" {
				s.Denied = "PubkeyAuthentication " + value
			}
		case "allowusers":
			if !slices.Contains(strings.Fields(value), s.User) && !strings.ContainsAny(value, "*?@") {
				s.Denied = "AllowUsers"
			}
		case "denyusers":
			if slices.Contains(strings.Fields(value), s.User) {
				s.Denied = "DenyUsers"
			}
		}
	}
}
