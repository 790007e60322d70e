package plugins

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Instance is one add-on: what templates are rendered over.
type Instance struct {
	Name, Host, Version, Plan string
	Secrets                   map[string]string
	// Next are the secrets that a rotation is about to put in their place: .New in
	// its actions, where .Old are the present ones. Nil: no rotation is under way.
	Next map[string]string
}

// Spec is a manifest rendered for one add-on.
type Spec struct {
	Image      string
	Env        map[string]string
	Entrypoint []string
	Command    []string
	User       string
	Volumes    []Volume
	Ports      map[string]int
	Files      []File
	Memory     int64 // bytes
	CPU        float64
	Probe      Probe
	Snapshot   Action
	Thawed     Action
	Verify     Action
	Console    Action
	Rotate     Action
	Retire     Action
	Sample     Action
	Export     Transfer
	Import     Transfer
	LogHints   []LogHint

	vars []VarTemplate
}

// File is a rendered file. Its content may hold secrets.
type File struct {
	Path     string
	Mode     fs.FileMode
	UID, GID int
	Content  string
}

// Probe is to be repeated until it succeeds: a command in the container or, if it has
// none, from outside a connection to Port and, with a Path, a request for that.
type Probe struct {
	Action
	Port               int
	Path               string
	Status             int
	Interval, Deadline time.Duration
}

// Var is a config var.
type Var struct{ Name, Value string }

// Vars are the config vars for an app. With a prefix, which a second add-on of a kind
// needs, CACHE gives CACHE_URL and so on.
func (s Spec) Vars(prefix string) []Var {
	var out []Var
	for _, v := range s.vars {
		name := v.Name
		if prefix != "" {
			name = prefix + "_" + v.Suffix
		}
		out = append(out, Var{name, v.Value})
	}
	return out
}

// scope is what a template sees.
type scope struct {
	Name, Host, Version, Plan string
	Secret, Old, New          map[string]string
	Setting                   map[string]string
	Port                      map[string]int
	MemoryMB                  int64
}

// renderer collects the errors, so that Render reads straight down.
type renderer struct {
	m    *Manifest
	data scope
	size int // bytes rendered so far
	errs []error
}

// Render fills the templates in. The error names file and line of every fault.
func (m *Manifest) Render(i Instance) (Spec, error) {
	version, ok := m.version(i.Version)
	if !ok {
		return Spec{}, fmt.Errorf("%s has no version %q", m.Name, i.Version)
	}
	plan, ok := m.Plan(i.Plan)
	if !ok {
		return Spec{}, fmt.Errorf("%s has no plan %q", m.Name, i.Plan)
	}
	memory, err := parseBytes(plan.Memory)
	if err != nil {
		return Spec{}, err
	}
	ports := map[string]int{}
	for _, p := range m.Ports {
		ports[p.Name] = p.Port
	}
	next := i.Next
	if next == nil {
		next = i.Secrets
	}
	r := &renderer{m: m, data: scope{
		Name: i.Name, Host: i.Host, Version: i.Version, Plan: i.Plan,
		Secret: i.Secrets, Old: i.Secrets, New: next, Setting: plan.Settings, Port: ports, MemoryMB: memory >> 20,
	}}
	env := maps.Clone(m.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, version.Env)
	s := Spec{
		Image: version.Image, Entrypoint: r.all(m.Entrypoint), Command: r.all(m.Command), User: m.User,
		Volumes: m.Volumes, Ports: ports, Memory: memory, CPU: plan.CPU,
		Probe:    m.Probe.render(r.action(m.Probe.Action), ports),
		Snapshot: r.action(m.Snapshot), Thawed: r.action(m.Thawed), Verify: r.action(m.Verify), Console: r.action(m.Console),
		Rotate: r.action(m.Rotate), Retire: r.action(m.Retire), Sample: r.action(m.Sample), Export: r.transfer(m.Export), Import: r.transfer(m.Import),
		LogHints: m.LogHints,
	}
	s.Env = r.env(env)
	for _, f := range m.Files {
		mode, _ := strconv.ParseUint(f.mode(), 8, 32) // checked by Load
		s.Files = append(s.Files, File{f.Path, fs.FileMode(mode), f.UID, f.GID, r.text(f.Content)})
	}
	for _, v := range m.Vars {
		s.vars = append(s.vars, VarTemplate{v.Name, v.Suffix, r.text(v.Value)})
	}
	return s, errors.Join(r.errs...)
}

func (p ProbeTemplate) render(command Action, ports map[string]int) Probe {
	out := Probe{Action: command, Interval: time.Duration(p.Interval), Deadline: time.Duration(p.Deadline)}
	interval := 50 * time.Millisecond
	switch {
	case p.HTTP != (HTTPProbe{}):
		out.Port, out.Path, out.Status = ports[p.HTTP.Port], p.HTTP.Path, p.HTTP.Status
		if out.Path == "" {
			out.Path = "/"
		}
		if out.Status == 0 {
			out.Status = 200
		}
	case p.TCP != "":
		out.Port = ports[p.TCP]
	default:
		interval = 100 * time.Millisecond // starting a command costs more
	}
	if out.Interval == 0 {
		out.Interval = interval
	}
	if out.Deadline == 0 {
		out.Deadline = time.Minute
	}
	return out
}

func (r *renderer) transfer(t Transfer) Transfer {
	t.Action = r.action(t.Action)
	return t
}

func (r *renderer) action(a Action) Action {
	return Action{r.all(a.Command), r.env(a.Env)}
}

func (r *renderer) env(templates map[string]string) map[string]string {
	out := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(templates)) {
		out[key] = r.text(templates[key])
	}
	return out
}

func (r *renderer) all(templates []string) []string {
	var out []string
	for _, t := range templates {
		out = append(out, r.text(t))
	}
	return out
}

func (r *renderer) text(text string) string {
	if !strings.Contains(text, "{{") {
		return text
	}
	t, err := parseTemplate(text)
	var b boundedBuilder
	if err == nil {
		err = t.Execute(&b, r.data)
	}
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("%s:%d: template: %s", r.m.path, r.m.lineOf(text, err), trimTemplateError(err)))
	}
	if r.size += b.Len(); r.size > maxSpec {
		if r.size-b.Len() <= maxSpec { // told once
			r.errs = append(r.errs, fmt.Errorf("%s:%d: template: all of them together make more than %d bytes", r.m.path, r.m.lineOf(text, nil), maxSpec))
		}
		return ""
	}
	return b.String()
}

// lineOf is the line of the part of a template that err names, or else, or without
// an error, of the template's first action.
func (m *Manifest) lineOf(text string, err error) int {
	needle := ""
	if err != nil {
		if part := partInError.FindStringSubmatch(err.Error()); part != nil {
			needle = part[1]
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if needle == "" && strings.Contains(line, "{{") {
			needle = line
		}
	}
	i := strings.Index(m.text, needle)
	if i < 0 { // quotes in a TOML string are escaped
		i = strings.Index(m.text, strings.Trim(strconv.Quote(needle), `"`))
	}
	return 1 + strings.Count(m.text[:max(i, 0)], "\n")
}

var partInError = regexp.MustCompile(`<(\.[^>]+)>`)

// trimTemplateError drops the name of the unnamed template.
func trimTemplateError(err error) string {
	s := strings.TrimPrefix(err.Error(), "template: :")
	if _, rest, found := strings.Cut(s, "executing \"\" at "); found {
		return rest
	}
	return s
}

// parseBytes reads "512m" or "2g".
func parseBytes(s string) (int64, error) {
	shift := map[string]uint{"k": 10, "m": 20, "g": 30}[strings.ToLower(s[max(0, len(s)-1):])]
	n, err := strconv.ParseInt(strings.TrimRight(s, "kKmMgG"), 10, 32)
	if err != nil || n <= 0 || shift == 0 {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	return n << shift, nil
}
