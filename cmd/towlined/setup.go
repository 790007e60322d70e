package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"towline/cmd/internal/config"
	"towline/daemon/store"
)

// proxyUser is whom the package has made for the proxy, which reads towline.toml too.
const proxyUser = "towline-proxy"

// setup makes what is missing on this machine for Towline to run. It may be run again at
// any time, changes nothing that is there, and does not fail because of the world.
func setup(ctx context.Context, m *installer) error {
	if err := m.makeConfig(); err != nil {
		m.warn("%s is missing and could not be made: %v", m.config, err)
	}
	file := m.load()
	if err := m.unlockAccount(ctx, file.User); err != nil {
		m.warn("the account %s: %v", file.User, err)
	}
	if err := makeKey(file); err != nil {
		m.warn("the key that seals secrets: %v", err)
	}
	if err := m.tellSSHD(ctx, file); err != nil {
		m.warn("%v", err)
	}
	return nil
}

// makeConfig writes the example, with this machine's name where it has one, unless the
// file is there. It may come to hold credentials: only root and the proxy read it.
func (m *installer) makeConfig() error {
	if _, err := os.Lstat(m.config); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := config.Example
	if name := fullName(); name != "" {
		text = strings.Replace(text, "#domain = \"localhost\"", "domain = "+strconv.Quote(name), 1)
		text = strings.Replace(text, "#host = \"localhost\"", "host = "+strconv.Quote(name), 1)
	} else {
		m.say("this machine has no full host name: set domain and ssh.host in %s", m.config)
	}
	if err := os.MkdirAll(filepath.Dir(m.config), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(m.config), ".towline.toml-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(text)
	if u, lerr := user.Lookup(proxyUser); lerr == nil {
		gid, aerr := strconv.Atoi(u.Gid)
		err = errors.Join(err, aerr, f.Chown(0, gid), f.Chmod(0o640))
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), m.config); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// fullName is this machine's with its domain, or nothing.
func fullName() string {
	short, err := os.Hostname()
	if err != nil {
		return ""
	}
	if strings.Contains(short, ".") {
		return strings.ToLower(strings.TrimSuffix(short, "."))
	}
	// As hostname -f does: /etc/hosts has the full name before the short one.
	f, err := os.Open("/etc/hosts")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) < 2 || net.ParseIP(words[0]) == nil {
			continue
		}
		for _, name := range words[1:] {
			if strings.HasPrefix(name, short+".") {
				return strings.ToLower(name)
			}
		}
	}
	return ""
}

// unlockAccount gives the account a password that nothing matches. systemd-sysusers makes
// it one that is locked, at which sshd refuses keys too where it does not use PAM.
func (m *installer) unlockAccount(ctx context.Context, name string) error {
	if _, err := user.Lookup(name); err != nil {
		return err
	}
	shadow, err := os.ReadFile("/etc/shadow")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(shadow)) {
		if fields := strings.Split(line, ":"); len(fields) > 1 && fields[0] == name && strings.HasPrefix(fields[1], "!") {
			_, err := m.run(ctx, "usermod", "--password", "*", name)
			return err
		}
	}
	return nil
}

// makeKey makes the key now, so that it is there to be kept before there is a secret.
func makeKey(file config.File) error {
	if err := os.MkdirAll(file.State, 0o711); err != nil {
		return err
	}
	_, err := store.LoadKey(filepath.Join(file.State, "key"))
	return err
}

// sshdRules let those in whom the daemon lists, to towline-shell and nothing else. They
// hold for one account: the rest of sshd is as the administrator wants it.
const sshdRules = `# Written by towlined setup; removed with the package.
Match User %s
	AuthorizedKeysFile %s
	AuthenticationMethods publickey
	AcceptEnv GIT_PROTOCOL
	DisableForwarding yes
	PermitUserRC no
`

// tellSSHD writes the drop-in, and takes it back if sshd would not start with it.
func (m *installer) tellSSHD(ctx context.Context, file config.File) error {
	rules := fmt.Sprintf(sshdRules, file.User, filepath.Join(file.State, "ssh", "authorized_keys"))
	have, err := os.ReadFile(m.sshdConf)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if string(have) == rules {
		return nil
	}
	if out, err := m.run(ctx, "sshd", "-t"); err != nil {
		return fmt.Errorf("sshd does not like its own configuration, so nothing was added to it; "+
			"mend it and type: towlined setup (sshd -t says: %s)", out)
	}
	if err := os.MkdirAll(filepath.Dir(m.sshdConf), 0o755); err != nil {
		return err
	}
	if err := replace(m.sshdConf, rules); err != nil {
		return err
	}
	if out, err := m.run(ctx, "sshd", "-t"); err != nil {
		back := os.Remove(m.sshdConf)
		if have != nil {
			back = replace(m.sshdConf, string(have))
		}
		return errors.Join(fmt.Errorf("sshd does not take %s, which was taken back: %s", m.sshdConf, out), back)
	}
	m.reloadSSHD(ctx)
	effective, err := m.run(ctx, "sshd", "-T", "-C", "user="+file.User+",host=localhost,addr=127.0.0.1")
	if err == nil && !strings.Contains(effective, filepath.Join(file.State, "ssh", "authorized_keys")) {
		m.warn("sshd does not read %s: put this line at the top of /etc/ssh/sshd_config, and reload ssh: Include /etc/ssh/sshd_config.d/*.conf", m.sshdConf)
	}
	return nil
}

// reloadSSHD has a running sshd read its configuration anew. Nobody who is logged in
// notices.
func (m *installer) reloadSSHD(ctx context.Context) {
	if _, err := m.run(ctx, "systemctl", "is-active", "--quiet", "ssh.service"); err != nil {
		return // it reads it when it starts
	}
	if _, err := m.run(ctx, "systemctl", "reload", "ssh.service"); err != nil {
		m.warn("sshd was not told of the user towline: systemctl reload ssh (%v)", err)
	}
}

// replace puts a file in place in one step.
func replace(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".towline-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
