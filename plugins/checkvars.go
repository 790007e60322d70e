package plugins

import (
	"maps"
	"slices"
	"strings"
)

func (m *Manifest) checkVars(bad badFunc) {
	if len(m.Vars) == 0 {
		bad("vars", "there are no vars: an app could not find the service")
	}
	names, suffixes := map[string]bool{}, map[string]bool{}
	for _, v := range m.Vars {
		if !varName.MatchString(v.Name) {
			bad(v.Name, "var %q: use capital letters, digits and underscores", v.Name)
		}
		if !varName.MatchString(v.Suffix) {
			bad(v.Name, "var %s: suffix %q: use capital letters, digits and underscores", v.Name, v.Suffix)
		}
		if reservedVar(v.Name) {
			bad(v.Name, "var %s is not for add-ons: programs or Towline itself take it for something else", v.Name)
		}
		if names[v.Name] || suffixes[v.Suffix] {
			bad(v.Name, "var %s or its suffix is there twice", v.Name)
		}
		names[v.Name], suffixes[v.Suffix] = true, true
		if v.Value == "" {
			bad(v.Name, "var %s has no value", v.Name)
		}
	}
}

// reservedVar tells a variable that an add-on must not set in an app: Towline sets it,
// or a shell, the loader or a language runs what it names.
func reservedVar(name string) bool {
	for _, prefix := range []string{"TOWLINE_", "LD_", "DYLD_", "BASH_", "GIT_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{
		"PORT", "DYNO", "SOURCE_VERSION", "PATH", "HOME", "USER", "SHELL", "PWD", "IFS", "ENV", "TERM", "TMPDIR", "HOSTNAME", "LANG",
		"NODE_OPTIONS", "NODE_PATH", "RUBYOPT", "RUBYLIB", "GEM_PATH", "GEM_HOME", "BUNDLE_GEMFILE", "PERL5OPT", "PERL5LIB", "PYTHONPATH", "PYTHONSTARTUP",
		"PYTHONHOME", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "PROMPT_COMMAND", "PS4", "CDPATH", "GLIBC_TUNABLES", "MALLOC_CONF",
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
	}, name)
}

// checkEnv looks at the names of environment variables.
func (m *Manifest) checkEnv(bad badFunc) {
	look := func(env map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(env)) {
			if !envName.MatchString(name) {
				bad(name, "environment variable %q: use letters, digits and underscores", name)
			}
		}
	}
	look(m.Env)
	for _, v := range m.Versions {
		look(v.Env)
	}
	for _, a := range m.actions() {
		look(a.Env)
	}
}
