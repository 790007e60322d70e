package plugins

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

var (
	serviceName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,29}$`)
	partName    = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,39}$`)
	wordName    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	firstValue  = regexp.MustCompile(`^[A-Za-z0-9_-]{0,60}$`)
	imageName   = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._:/@-]{0,254}$`)
	userName    = regexp.MustCompile(`^([a-z_][a-z0-9_-]{0,31}|[0-9]{1,9})(:([a-z_][a-z0-9_-]{0,31}|[0-9]{1,9}))?$`)
	fileName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	varName     = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,99}$`)
)

// check finds what is wrong with a manifest beyond its syntax.
func (m *Manifest) check() (errs []error) {
	bad := func(word, format string, args ...any) { errs = append(errs, m.fault(word, format, args...)) }
	if !serviceName.MatchString(m.Name) {
		bad(m.Name, "name %q: use lower-case letters, digits and dashes", m.Name)
	}
	if m.Title == "" {
		bad("title", "title is missing")
	}
	if len(m.Title) > 200 || strings.ContainsFunc(m.Title, unicode.IsControl) {
		bad("title", "title must be one line of at most 200 bytes")
	}
	if m.User != "" && !userName.MatchString(m.User) {
		bad(m.User, "user %q is not a user or user:group", m.User)
	}
	m.checkCounts(bad)
	m.checkVersions(bad)
	m.checkPlans(bad)
	m.checkParts(bad)
	m.checkVars(bad)
	m.checkEnv(bad)
	m.checkCommands(bad)
	m.checkProbe(bad)
	for _, h := range m.LogHints {
		if _, err := regexp.Compile(h.Match); err != nil {
			bad(h.Match, "log_hints: %v", err)
		} else if h.Match == "" || h.Say == "" {
			bad("log_hints", "log_hints: match and say must both be there")
		}
	}
	for _, transfer := range []Transfer{m.Export, m.Import} {
		if transfer.File != "" && !fileName.MatchString(transfer.File) {
			bad(transfer.File, "file %q is not the name of a file", transfer.File)
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return m.checkRenders()
}

// checkCounts bounds what is rendered: every text for every version and plan.
func (m *Manifest) checkCounts(bad badFunc) {
	for _, c := range []struct {
		what      string
		count, at int
	}{
		{"versions", len(m.Versions), 50}, {"plans", len(m.Plans), 20}, {"versions times plans", len(m.Versions) * len(m.Plans), 200}, {"volumes", len(m.Volumes), 20}, {"ports", len(m.Ports), 50},
		{"secrets", len(m.Secrets), 50}, {"certificates", len(m.Certificates), 5}, {"files", len(m.Files), 100}, {"vars", len(m.Vars), 100},
		{"log_hints", len(m.LogHints), 100}, {"env", len(m.Env), 500}, {"command", len(m.Command), 1000},
	} {
		if c.count > c.at {
			bad(c.what, "there are %d %s; at most %d are possible", c.count, c.what, c.at)
		}
	}
}

func (m *Manifest) checkProbe(bad badFunc) {
	p, kinds := m.Probe, 0
	for _, given := range []bool{len(p.Command) > 0, p.TCP != "", p.HTTP != (HTTPProbe{})} {
		if given {
			kinds++
		}
	}
	has := func(name string) bool {
		return slices.ContainsFunc(m.Ports, func(q Port) bool { return q.Name == name })
	}
	switch {
	case kinds == 0:
		bad("probe", "probe has no command, tcp or http")
	case kinds > 1:
		bad("probe", "probe: give one of command, tcp and http")
	case p.TCP != "" && !has(p.TCP):
		bad(p.TCP, "probe: there is no port %q", p.TCP)
	case p.HTTP != (HTTPProbe{}):
		if !has(p.HTTP.Port) {
			bad("http", "probe: there is no port %q", p.HTTP.Port)
		}
		if _, err := url.ParseRequestURI(p.HTTP.Path); p.HTTP.Path != "" && (err != nil || p.HTTP.Path[0] != '/') {
			bad("http", "probe: path %q does not begin with / or is no path", p.HTTP.Path)
		}
		if s := p.HTTP.Status; s != 0 && (s < 200 || s > 599) {
			bad("http", "probe: %d is no status of an answer", s)
		}
	}
	if kinds == 1 && len(p.Command) == 0 && len(p.Env) > 0 {
		bad("probe", "probe: env is for a command")
	}
	if p.Interval < 0 || p.Deadline < 0 {
		bad("probe", "probe times must be positive")
	}
	if p.Interval > duration(time.Minute) || p.Deadline > duration(time.Hour) {
		bad("probe", "probe: an interval of more than a minute, or a deadline of more than an hour")
	}
}

type badFunc = func(word, format string, args ...any)

func (m *Manifest) checkVersions(bad badFunc) {
	seen := map[string]bool{}
	for _, v := range m.Versions {
		switch _, tag, found := strings.Cut(v.Image[strings.LastIndex(v.Image, "/")+1:], ":"); {
		case !partName.MatchString(v.Name):
			bad(v.Name, "version %q is not a name", v.Name)
		case seen[v.Name]:
			bad(v.Name, "version %q is there twice", v.Name)
		case v.Image == "" || strings.ContainsAny(v.Image, " \t\n"):
			bad(v.Name, "version %s has no image", v.Name)
		case !imageName.MatchString(v.Image) || strings.Contains(v.Image, "//"):
			bad(v.Image, "image %q is not the name of an image", v.Image)
		case !found || tag == "" || tag == "latest":
			bad(v.Image, "image %q has no tag that says its version", v.Image)
		}
		seen[v.Name] = true
	}
	if !seen[m.DefaultVersion] {
		bad("default_version", "default_version %q is none of the versions", m.DefaultVersion)
	}
	for from, tos := range m.Upgrades {
		for _, v := range append([]string{from}, tos...) {
			if !seen[v] {
				bad("upgrades", "upgrades: there is no version %q", v)
			}
		}
	}
}

func (m *Manifest) checkPlans(bad badFunc) {
	seen := map[string]bool{}
	for _, p := range m.Plans {
		if !partName.MatchString(p.Name) {
			bad(p.Name, "plan %q is not a name", p.Name)
		}
		if seen[p.Name] {
			bad(p.Name, "plan %q is there twice", p.Name)
		}
		seen[p.Name] = true
		if _, err := parseBytes(p.Memory); err != nil {
			bad(p.Memory, "plan %s: memory %q is not a size like 512m", p.Name, p.Memory)
		}
		if p.CPU < 0 {
			bad("cpu", "plan %s: cpu is negative", p.Name)
		}
		if p.CPU > 4096 || p.CPU != p.CPU { // NaN
			bad("cpu", "plan %s: cpu is not a number of processors", p.Name)
		}
	}
	if !seen[m.DefaultPlan] {
		bad("default_plan", "default_plan %q is none of the plans", m.DefaultPlan)
	}
}

func (m *Manifest) checkParts(bad badFunc) {
	seen := map[string]bool{}
	once := func(kind, name string) {
		if seen[kind+" "+name] {
			bad(name, "%s %q is there twice", kind, name)
		}
		seen[kind+" "+name] = true
	}
	for _, v := range m.Volumes {
		if !wordName.MatchString(v.Name) {
			bad(v.Name, "volume %q is not a name", v.Name)
		}
		once("volume", v.Name)
		if !mountable(v.Path) {
			bad(v.Path, "volume %s: path %q is not absolute and clean", v.Name, v.Path)
		}
		once("mount", v.Path)
	}
	for _, p := range m.Ports {
		if !wordName.MatchString(p.Name) || p.Port < 1 || p.Port > 65535 {
			bad(p.Name, "port %q %d is not a name and a port", p.Name, p.Port)
		}
		once("port", p.Name)
	}
	for _, s := range m.Secrets {
		if !wordName.MatchString(s.Name) {
			bad(s.Name, "secret %q is not a name", s.Name)
		}
		once("secret", s.Name)
		if s.Bits != 0 && (s.Bits < 128 || s.Bits > 1024) {
			bad(s.Name, "secret %s: %d bits; use 128 to 1024", s.Name, s.Bits)
		}
		if !firstValue.MatchString(s.First) {
			bad(s.First, "secret %s: first %q: use letters, digits, dashes and underscores", s.Name, s.First)
		}
	}
	for _, c := range m.Certificates {
		if !wordName.MatchString(c.Name) {
			bad(c.Name, "certificate %q is not a name", c.Name)
		}
		once("secret", c.Name+"_cert")
		once("secret", c.Name+"_key")
	}
	for _, f := range m.Files {
		if !mountable(f.Path) {
			bad(f.Path, "file path %q is not absolute and clean", f.Path)
		}
		once("mount", f.Path)
		if f.UID < 0 || f.GID < 0 || f.UID > maxID || f.GID > maxID {
			bad(f.Path, "file %s: uid %d and gid %d must be from 0 to %d", f.Path, f.UID, f.GID, maxID)
		}
		if mode, err := strconv.ParseUint(f.mode(), 8, 32); err != nil || mode > 0o777 {
			bad(f.Mode, "file %s: mode %q is not octal", f.Path, f.Mode)
		}
	}
	for _, port := range []string{m.Web.Port, m.Web.WebSocket} {
		if port != "" && !seen["port "+port] {
			bad("web", "web: there is no port %q", port)
		}
	}
}

// mountable: the root of the container is not, nor what the kernel and the engine put
// below it: what is mounted there hides that.
func mountable(p string) bool {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" || len(p) > 1000 || strings.ContainsFunc(p, unusual) {
		return false
	}
	for _, taken := range []string{"/proc", "/sys", "/dev", "/run/secrets", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv"} {
		if p == taken || strings.HasPrefix(p, taken+"/") {
			return false
		}
	}
	return true
}

// unusual tells a character that has no place in a path of a mount: engines part the
// mount's options by some.
func unusual(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`:,"'\*?`, r) }

// maxID is the largest user or group ID: the last one means none.
const maxID = 1<<32 - 2

func (f FileTemplate) mode() string {
	if f.Mode == "" {
		return "0444"
	}
	return f.Mode
}

// namedAction is an action, and its table in plugin.toml.
type namedAction struct {
	table string
	Action
}

func (m *Manifest) actions() []namedAction {
	return []namedAction{
		{"probe", m.Probe.Action}, {"snapshot", m.Snapshot}, {"thawed", m.Thawed}, {"verify", m.Verify}, {"sample", m.Sample},
		{"export", m.Export.Action}, {"import", m.Import.Action}, {"console", m.Console},
		{"rotate", m.Rotate}, {"retire", m.Retire},
	}
}

// checkCommands refuses blank commands, and keeps secrets off command lines, which every process of the host can
// see. A user name, which has a first value, is none.
func (m *Manifest) checkCommands(bad badFunc) {
	look := func(where string, command []string) {
		if len(command) > 0 && strings.TrimSpace(command[0]) == "" {
			bad("command", "%scommand begins with a blank word", where)
		}
		for _, word := range command {
			for _, ref := range secretRef.FindAllStringSubmatch(word, -1) {
				if m.hides(ref[2]) {
					bad(strings.TrimSpace(word), "%scommand has the secret %q in it: put it into env or a file", where, ref[2])
				}
			}
		}
	}
	look("", m.Command)
	look("", m.Entrypoint)
	for _, a := range m.actions() {
		look(a.table+": ", a.Command)
	}
}

var secretRef = regexp.MustCompile(`\.(Secret|Old|New)\.([A-Za-z0-9_]+)`)

func (m *Manifest) hides(secret string) bool {
	for _, s := range m.Secrets {
		if s.Name == secret {
			return s.First == ""
		}
	}
	return strings.HasSuffix(secret, "_key")
}

// checkRenders renders everything for every version and plan. A fault that several of
// them have is told once.
func (m *Manifest) checkRenders() (errs []error) {
	secrets, err := m.newSecrets()
	if err != nil {
		return []error{err}
	}
	told := map[string]bool{}
	add := func(err error) {
		for _, text := range strings.Split(err.Error(), "\n") {
			if !told[text] {
				errs = append(errs, errors.New(text))
			}
			told[text] = true
		}
	}
	for _, v := range m.Versions {
		for _, p := range m.Plans {
			s, err := m.Render(Instance{Name: "check", Host: "check", Version: v.Name, Plan: p.Name, Secrets: secrets})
			if err == nil {
				err = m.checkRendered(s, secrets)
			}
			if err != nil {
				add(err)
			}
		}
	}
	return errs
}

// checkRendered finds the secrets that a template has put on a command line in a way
// that checkCommands does not know.
func (m *Manifest) checkRendered(s Spec, secrets map[string]string) error {
	var errs []error
	look := func(templates, words []string) {
		for i, word := range words {
			for _, name := range slices.Sorted(maps.Keys(secrets)) {
				if m.hides(name) && strings.Contains(word, secrets[name]) {
					errs = append(errs, fmt.Errorf("%s:%d: command has the secret %q in it: put it into env or a file",
						m.path, m.lineOf(templates[i], nil), name))
				}
			}
		}
	}
	look(m.Command, s.Command)
	look(m.Entrypoint, s.Entrypoint)
	rendered := []Action{s.Probe.Action, s.Snapshot, s.Thawed, s.Verify, s.Sample, s.Export.Action, s.Import.Action, s.Console, s.Rotate, s.Retire}
	for i, a := range m.actions() {
		look(a.Command, rendered[i].Command)
	}
	return errors.Join(errs...)
}
