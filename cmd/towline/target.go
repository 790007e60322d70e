package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// target is a host, and the app that is meant when a command names none.
type target struct {
	user, host, port string // user and port may be empty: ssh's own defaults
	app              string
}

// remote is a git remote of the checkout.
type remote struct{ name, url string }

const account = "towline" // that users log in to

// errNoHost means that nothing tells which host is meant.
var errNoHost = errors.New("no host is known here: there is no git remote of Towline's")

// target finds the host: by --host, then --remote, then the checkout, then
// TOWLINE_HOST.
func (in invocation) target(remotes func() []remote) (target, error) {
	var t target
	var err error
	switch {
	case in.host != "":
		t, err = parseHost(in.host)
	default:
		t, err = fromRemotes(remotes(), in.remote)
		if host := os.Getenv("TOWLINE_HOST"); errors.Is(err, errNoHost) && host != "" {
			t, err = parseHost(host)
		}
	}
	if in.app != "" {
		t.app = in.app
	}
	return t, err
}

// fromRemotes chooses the remote called name; without a name that called towline,
// or the only one that looks like Towline's.
func fromRemotes(remotes []remote, name string) (target, error) {
	var found []target
	var names []string
	for _, r := range remotes {
		t, ok := parseURL(r.url)
		switch {
		case r.name == name, name == "" && r.name == account:
			if !ok {
				return target{}, fmt.Errorf("git remote %s is %s, not an SSH address of an app", r.name, r.url)
			}
			return t, nil
		case name == "" && ok && t.user == account:
			found, names = append(found, t), append(names, r.name)
		}
	}
	switch {
	case name != "":
		return target{}, fmt.Errorf("there is no git remote %q here", name)
	case len(found) == 0:
		return target{}, errNoHost
	case len(found) > 1:
		return target{}, fmt.Errorf("which one: git remotes %s all lead to Towline; add --remote NAME", strings.Join(names, ", "))
	}
	return found[0], nil
}

// parseURL reads ssh://[USER@]HOST[:PORT]/APP and [USER@]HOST:APP.
func parseURL(s string) (target, bool) {
	var t target
	var path string
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "ssh" || u.Hostname() == "" {
			return t, false
		}
		t = target{user: u.User.Username(), host: u.Hostname(), port: u.Port()}
		path = strings.TrimPrefix(u.Path, "/")
	} else {
		place, p, ok := strings.Cut(s, ":")
		if !ok || strings.Contains(place, "/") {
			return t, false
		}
		var err error
		if t, err = parseHost(place); err != nil {
			return t, false
		}
		if !strings.Contains(place, "@") {
			t.user = ""
		}
		path = strings.TrimPrefix(p, "/")
	}
	t.app = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(path, "~/"), "/"), ".git")
	return t, t.app != "" && !strings.Contains(t.app, "/") && !strings.HasPrefix(t.host, "-") && !strings.HasPrefix(t.user, "-")
}

// parseHost reads [USER@]HOST[:PORT]; an IPv6 address with a port is in brackets.
func parseHost(s string) (target, error) {
	t := target{user: account, host: s}
	if i := strings.LastIndex(s, "@"); i >= 0 {
		t.user, t.host = s[:i], s[i+1:]
	}
	if host, port, err := net.SplitHostPort(t.host); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return t, fmt.Errorf("%q is no port", port)
		}
		t.host, t.port = host, port
	}
	t.host = strings.TrimSuffix(strings.TrimPrefix(t.host, "["), "]")
	// ssh would take a leading dash for an option.
	if t.host == "" || t.user == "" || t.host[0] == '-' || t.user[0] == '-' || strings.ContainsAny(t.host+t.user, "/ \t\n'\"\\") {
		return t, fmt.Errorf("%q is no host: write [USER@]HOST[:PORT]", s)
	}
	return t, nil
}

// url is the address of the target's app for git.
func (t target) url() string {
	host := t.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if t.port != "" {
		host += ":" + t.port
	}
	if t.user != "" {
		host = t.user + "@" + host
	}
	return "ssh://" + host + "/" + t.app
}

// gitRemotes lists the checkout's remotes; outside of one there are none.
func gitRemotes() []remote {
	out, err := exec.Command("git", "config", "--null", "--get-regexp", `^remote\..*\.url$`).Output()
	if err != nil {
		return nil
	}
	var remotes []remote
	for entry := range strings.SplitSeq(string(out), "\x00") {
		key, url, ok := strings.Cut(entry, "\n")
		if name := strings.TrimSuffix(strings.TrimPrefix(key, "remote."), ".url"); ok {
			remotes = append(remotes, remote{name, url})
		}
	}
	return remotes
}

// gitRemote adds the remote to the checkout, or corrects it.
func gitRemote(in invocation) int {
	words := in.words[1:]
	if in.words[0] == "git" {
		words = words[1:]
	}
	app := in.app
	for i := 0; i < len(words); i++ {
		name, value, given := strings.Cut(words[i], "=")
		switch {
		case name != "-a" && name != "--app":
			return refuse(fmt.Errorf("git:remote takes no %q", words[i]), "towline git:remote -a APP --host HOST [--remote NAME]")
		case given:
			app = value
		case i+1 < len(words):
			i++
			app = words[i]
		}
	}
	name := in.remote
	if name == "" {
		name = account
	}
	in.remote = ""
	t, err := in.target(gitRemotes)
	if err == nil && (app == "" || strings.Trim(app, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || app[0] == '-') {
		err = fmt.Errorf("%q is no app", app)
	}
	if err != nil {
		return refuse(err, "towline git:remote -a APP --host HOST [--remote NAME]")
	}
	t.app = app
	verb := "add"
	for _, r := range gitRemotes() {
		if r.name == name {
			verb = "set-url"
		}
	}
	cmd := exec.Command("git", "remote", verb, "--", name, t.url())
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return refuse(fmt.Errorf("git remote %s: %w", verb, err), "run this inside a git checkout: git init makes one")
	}
	fmt.Printf("git remote %s is %s\n", name, t.url())
	return 0
}
