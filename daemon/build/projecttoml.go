package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	ignore "github.com/sabhiram/go-gitignore"

	"towline/daemon"
	"towline/daemon/nesting"
)

// project is what a project.toml asks of a build by buildpacks. See the project descriptor
// in the specification of Cloud Native Buildpacks.
type project struct {
	env     map[string]string
	include []string // files to keep, all others are left out; as .gitignore has patterns
	exclude []string // files to leave out
	group   []buildpackRef
	notes   []string // for the pusher
}

// buildpackRef is a buildpack of the builder's.
type buildpackRef struct {
	ID      string `toml:"id" json:"id"`
	Version string `toml:"version" json:"version"`
	URI     string `toml:"uri" json:"-"`
	Script  any    `toml:"script" json:"-"`
}

// projectTable is [io.buildpacks], and [io.buildpacks.build], where the same keys are in
// some of its versions.
type projectTable struct {
	Builder string         `toml:"builder"`
	Include []string       `toml:"include"`
	Exclude []string       `toml:"exclude"`
	Group   []buildpackRef `toml:"group"`
	Packs   []buildpackRef `toml:"buildpacks"`
	Pre     any            `toml:"pre"`
	Post    any            `toml:"post"`
}

type envVar struct {
	Name  string `toml:"name"`
	Value string `toml:"value"`
}

const (
	projectName = "project.toml"
	maxProject  = 64 << 10
	maxPatterns = 1000
	// What a pattern takes grows with its length times that of a file's name.
	maxPatternBytes = 16 << 10 // of all together
)

// readProject reads a source's project.toml; without one there is nothing to do.
func readProject(source string) (project, error) {
	text, err := readPlain(source, projectName, maxProject)
	if err != nil || text == nil {
		return project{}, err
	}
	return parseProject(string(text))
}

func parseProject(text string) (p project, err error) {
	var file struct {
		IO struct {
			Buildpacks struct {
				projectTable
				Build struct {
					projectTable
					Env []envVar `toml:"env"`
				} `toml:"build"`
				Env struct {
					Build []envVar `toml:"build"` // where its first versions had them
				} `toml:"env"`
			} `toml:"buildpacks"`
		} `toml:"io"`
	}
	if line := nesting.TOML(text); line > 0 {
		return p, badProject("line %d: this is nested more than %d deep", line, nesting.Max)
	}
	if _, err := toml.Decode(text, &file); err != nil {
		var wrong toml.ParseError
		if errors.As(err, &wrong) {
			return p, badProject("line %d: %s", wrong.Position.Line, wrong.Message)
		}
		return p, badProject("%s", strings.TrimPrefix(err.Error(), "toml: "))
	}
	top, build := file.IO.Buildpacks, file.IO.Buildpacks.Build
	p.include = slices.Concat(top.Include, build.Include)
	p.exclude = slices.Concat(top.Exclude, build.Exclude)
	p.group = slices.Concat(top.Group, build.Packs, build.Group, top.Packs)
	for _, name := range []string{top.Builder, build.Builder} {
		if name != "" {
			p.notes = append(p.notes, fmt.Sprintf("project.toml: the builder %s is not taken, but this machine's own", daemon.Clip(name)))
		}
	}
	if top.Pre != nil || top.Post != nil || build.Pre != nil || build.Post != nil {
		return p, badProject("buildpacks before and after those that the builder finds (pre and post) can't be added here")
	}
	p.env = map[string]string{}
	for _, v := range slices.Concat(top.Env.Build, build.Env) {
		if err := daemon.CheckConfigKey(v.Name); err != nil {
			return p, badProject("build.env: %v", err)
		}
		if strings.ContainsRune(v.Value, 0) {
			return p, badProject("build.env: the value of %s has a NUL byte in it", v.Name)
		}
		p.env[v.Name] = v.Value
	}
	switch {
	case len(p.include) > 0 && len(p.exclude) > 0:
		return p, badProject("it has both include and exclude, of which one alone can be")
	case len(p.include)+len(p.exclude) > maxPatterns:
		return p, badProject("it has more than %d patterns of files", maxPatterns)
	case len(strings.Join(slices.Concat(p.include, p.exclude), "")) > maxPatternBytes:
		return p, badProject("its patterns of files are longer than %s together", daemon.BytesText(maxPatternBytes))
	}
	return p, nil
}

// matchTime bounds how long the daemon looks which files a project.toml leaves out.
const matchTime = 30 * time.Second

func badProject(format string, args ...any) *daemon.Error {
	return daemon.Errorf(daemon.Invalid, "project.toml: "+format, args...).WithHint("mend it, commit and push again")
}

// leaveOut removes from the source the files that are not to be built, and tells how many.
// Nothing may run in it meanwhile.
func (p project) leaveOut(ctx context.Context, source string) (files int, err error) {
	if len(p.include)+len(p.exclude) == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, matchTime, badProject("its patterns take too long for this many files"))
	defer cancel()
	out := ignore.CompileIgnoreLines(p.exclude...).MatchesPath
	if len(p.include) > 0 {
		in := ignore.CompileIgnoreLines(p.include...)
		out = func(name string) bool { return !in.MatchesPath(name) }
	}
	root, err := os.OpenRoot(source)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	var gone, dirs []string
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case entry.IsDir():
			dirs = append(dirs, name)
		case out(name):
			gone = append(gone, name)
		}
		return context.Cause(ctx)
	})
	if err != nil {
		return 0, err
	}
	touched := map[string]bool{}
	for _, name := range gone {
		if err := root.Remove(name); err != nil {
			return 0, err
		}
		touched[path.Dir(name)] = true
	}
	for _, dir := range slices.Backward(dirs) { // what is in one comes after it
		if !touched[dir] {
			continue
		}
		if left, err := fs.ReadDir(root.FS(), dir); err != nil || len(left) > 0 {
			continue
		}
		if err := root.Remove(dir); err != nil {
			return 0, err
		}
		touched[path.Dir(dir)] = true
	}
	return len(gone), nil
}

// order is the order.toml by which the lifecycle tries the buildpacks that the file
// names, and no others; empty: it names none. have are the builder's.
func (p project) order(have []buildpackRef) (string, error) {
	if len(p.group) == 0 {
		return "", nil
	}
	var order strings.Builder
	order.WriteString("[[order]]\n")
	for _, want := range p.group {
		bp, err := want.among(have)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&order, "[[order.group]]\nid = %q\nversion = %q\n", bp.ID, bp.Version)
	}
	return order.String(), nil
}

// names are the buildpacks that the file names, for people.
func (p project) names() string {
	var names []string
	for _, bp := range p.group {
		names = append(names, daemon.Clip(cmp.Or(bp.ID, bp.URI)))
	}
	return strings.Join(names, ", ")
}

// among finds the builder's buildpack that is meant.
func (want buildpackRef) among(have []buildpackRef) (buildpackRef, error) {
	id, version := want.ID, want.Version
	if want.URI != "" {
		id = strings.TrimPrefix(strings.TrimPrefix(want.URI, "urn:cnb:builder:"), "urn:buildpack:")
		id, version, _ = strings.Cut(id, "@")
	}
	var ids []string
	for _, bp := range have {
		if bp.ID == id && want.Script == nil && (version == "" || version == "latest" || version == bp.Version) {
			return bp, nil
		}
		if !slices.Contains(ids, bp.ID) {
			ids = append(ids, bp.ID)
		}
	}
	what := id
	if version != "" {
		what += "@" + version
	}
	if want.Script != nil {
		what = "a buildpack of the source's own (script)"
	}
	slices.Sort(ids)
	return buildpackRef{}, daemon.Errorf(daemon.Invalid, "project.toml asks for the buildpack %s, which this machine's builder does not have", daemon.Clip(what)).
		WithHint("it has: %s", strings.Join(ids, ", "))
}
