package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"towline/cmd/internal/config"
	client "towline/daemon/socket/wire"
)

// welcome makes the first administrator, and says in five lines what to type next. It is
// for the end of an installation, and does nothing where there is a member.
func welcome(ctx context.Context, m *installer) error {
	file := m.load()
	socket := filepath.Join(file.Run, "towlined.sock")
	members, err := m.members(ctx, socket)
	if err != nil {
		m.warn("the daemon does not answer yet: see towline host:doctor, and journalctl -u towlined")
		m.say("once it does, make yourself the first administrator: towline members:add NAME --admin < NAME.pub")
		return nil
	}
	if members > 0 {
		m.say("running; apps and add-ons went on meanwhile")
		return nil
	}
	name, keys := m.firstKeys()
	added := 0
	for i, key := range keys {
		words := []string{"members:add", name}
		if i == 0 {
			words = append(words, "--admin")
		}
		if _, err := call(ctx, socket, key, words...); err != nil {
			m.warn("the key %s: %v", short(key), err)
			continue
		}
		added++
	}
	m.sayNext(file, name, added)
	return nil
}

// sayNext is the first thing that a new administrator reads.
func (m *installer) sayNext(file config.File, name string, keys int) {
	host := file.SSH.Host
	if keys > 0 {
		m.say("%s is the first administrator, by %d of the SSH keys that may log in to this machine. From your own:", name, keys)
	} else {
		m.say("make yourself the first administrator: towline members:add NAME --admin < NAME.pub. Then, from your own machine:")
	}
	fmt.Fprintf(m.out, "  ssh %s@%s apps:create shop\n", file.User, host)
	fmt.Fprintf(m.out, "  git push %s/shop main\n", strings.TrimSuffix(remote(file), "/"))
	fmt.Fprintf(m.out, "  https://shop.%s serves it (domain in %s; then: towlined --check)\n", file.Domain, m.config)
	fmt.Fprintln(m.out, "  On this machine: towline help, towline host:doctor")
}

// members counts them, once the daemon answers.
func (m *installer) members(ctx context.Context, socket string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, m.wait)
	defer cancel()
	for {
		out, err := call(ctx, socket, "", "members", "--json")
		if err == nil {
			var list []json.RawMessage
			err := json.Unmarshal([]byte(out), &list)
			return len(list), err
		}
		select {
		case <-ctx.Done():
			return 0, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// call runs a command as the operator on the host.
func call(ctx context.Context, socket, stdin string, words ...string) (string, error) {
	var out, errs bytes.Buffer
	code, err := client.Run(ctx, socket, client.Request{Args: words}, client.Streams{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs})
	if err == nil && code != 0 {
		err = errors.New(strings.TrimSpace(errs.String()))
	}
	return out.String(), err
}

// firstKeys are those of whoever installs this: of the caller of sudo, else of root. Keys
// with options are bound to something else, and left out.
func (m *installer) firstKeys() (name string, keys []string) {
	type candidate struct{ name, home string }
	var candidates []candidate
	if caller := m.env("SUDO_USER"); caller != "" && caller != "root" {
		if u, err := user.Lookup(caller); err == nil {
			candidates = append(candidates, candidate{memberName(caller), u.HomeDir})
		}
	}
	if u, err := user.LookupId("0"); err == nil {
		candidates = append(candidates, candidate{"admin", u.HomeDir})
	}
	for _, c := range candidates {
		if keys := readKeys(filepath.Join(c.home, ".ssh", "authorized_keys")); len(keys) > 0 {
			return c.name, keys
		}
	}
	return "", nil
}

// maxKeys bounds what is read of somebody's list.
const maxKeys = 1 << 20

func readKeys(path string) (keys []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeys))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		_, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err == nil && len(options) == 0 {
			keys = append(keys, strings.TrimSpace(line))
		}
	}
	return keys
}

// memberName makes a name that a member may have of a user's, or takes "admin".
func memberName(user string) string {
	user = strings.ToLower(user)
	if user == "" || len(user) > 40 || strings.Trim(user, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" || user[0] < 'a' || user[0] > 'z' {
		return "admin"
	}
	return user
}

// short is a key without its middle.
func short(key string) string {
	words := strings.Fields(key)
	if len(words) > 2 {
		return words[0] + " ... " + words[2]
	}
	return words[0]
}
