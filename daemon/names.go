package daemon

import (
	"regexp"
	"slices"
	"strings"
)

var (
	appName     = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
	memberName  = regexp.MustCompile(`^[a-z][a-z0-9._-]*$`)
	ProcessType = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*$`)
	configKey   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	branchName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)
	hostLabel   = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$`)
)

const maxAppName = 30

// MaxProcessTypes is how many an app can have.
const MaxProcessTypes = 100

// reservedApps would be taken for parts of Towline in a host name or in the name of
// a container or a network.
var reservedApps = map[string]bool{"towline": true, "addon": true, "build": true, "dashboard": true, "proof": true}

func reserved(app string) bool {
	first, _, _ := strings.Cut(app, "-")
	return reservedApps[app] || first == "addon" || first == "build" || first == "proof"
}

// CheckAppName tells whether name can be that of an app: part of a host name, a
// container name and a file name.
func CheckAppName(name string) error {
	switch {
	case name == "":
		return Errorf(Invalid, "an app needs a name").WithHint("towline apps:create shop")
	case len(name) > maxAppName:
		return Errorf(Invalid, "app name is %d characters long; at most %d are allowed", len(name), maxAppName).
			WithHint("choose a shorter one, like %q", suggestName(name))
	case !appName.MatchString(name):
		return Errorf(Invalid, "app name %q is not allowed", name).
			WithHint("use lower-case letters, digits and dashes, beginning with a letter, like %q", suggestName(name))
	case reserved(name):
		return Errorf(Invalid, "app name %q is reserved", name).WithHint("choose another")
	}
	return nil
}

// CheckAddonName tells whether name can be that of an add-on: a host name in the networks of
// its apps, and part of a container's. like is one to suggest.
func CheckAddonName(name, like string) error {
	if !appName.MatchString(name) || len(name) > 40 {
		return Errorf(Invalid, "add-on name %q is not allowed", Clip(name)).
			WithHint("use lower-case letters, digits and dashes, at most 40, like %s", like)
	}
	return nil
}

// CheckBranch tells whether name can be that of a branch to deploy.
func CheckBranch(name string) error {
	if len(name) > 200 || !branchName.MatchString(name) || strings.Contains(name, "..") {
		return Errorf(Invalid, "%q is not the name of a branch", Clip(name)).WithHint("give it as git branch shows it, like production")
	}
	return nil
}

// suggestName is an allowed name near to what was typed.
func suggestName(name string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r == '_', r == ' ', r == '.', r == '-':
			return '-'
		}
		return -1
	}, name)
	s = strings.TrimLeft(s, "-0123456789")
	s = strings.Trim(s[:min(len(s), 20)], "-")
	if s == "" || reserved(s) {
		return "shop"
	}
	return s
}

// CheckMemberName tells whether name can be that of a member: a word of an sshd
// configuration line.
func CheckMemberName(name string) error {
	if len(name) > 40 || !memberName.MatchString(name) {
		return Errorf(Invalid, "member name %q is not allowed", Clip(name)).
			WithHint("use lower-case letters, digits, dots and dashes, beginning with a letter, like \"alice\"")
	}
	return nil
}

// ownVars are set in every process by Towline itself, as is what begins with TOWLINE_.
var ownVars = []string{"DYNO", "SOURCE_VERSION"}

// CheckConfigKey tells whether key can be an environment variable that is the
// app's to set.
func CheckConfigKey(key string) error {
	switch {
	case key == "":
		return Errorf(Invalid, "a config var needs a name").WithHint("towline config:set KEY=value")
	case len(key) > 128:
		return Errorf(Invalid, "config var name is %d characters long; at most 128 are allowed", len(key))
	case !configKey.MatchString(key):
		return Errorf(Invalid, "config var name %q is not allowed", Clip(key)).
			WithHint("use letters, digits and underscores, beginning with a letter or an underscore")
	case slices.Contains(ownVars, key), strings.HasPrefix(key, "TOWLINE_"):
		return Errorf(Invalid, "config var %s is set by Towline itself", key).WithHint("choose another name")
	}
	return nil
}

// CheckHost tells whether host can be routed: a lower-case DNS name, or one with
// a "*" as its first label.
func CheckHost(host string) error {
	bad := Errorf(Invalid, "domain %q is not a host name", Clip(host)).
		WithHint("give a name alone, without scheme, port or path, like www.example.com or *.example.com")
	if len(host) == 0 || len(host) > 253 {
		return bad
	}
	labels := strings.Split(strings.TrimPrefix(host, "*."), ".")
	if strings.HasPrefix(host, "*.") && len(labels) < 2 {
		return bad
	}
	digits := true
	for _, l := range labels {
		if len(l) > 63 || !hostLabel.MatchString(l) {
			return bad
		}
		digits = digits && strings.Trim(l, "0123456789") == ""
	}
	if digits {
		return bad // an IP address
	}
	return nil
}
