package daemon

import (
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// BuilderChoice is how an app's people want its source built. The zero value leaves it to
// the source: a Dockerfile if there is one, else buildpacks.
type BuilderChoice struct {
	Kind   string `json:"kind,omitempty"`   // BuildBuildpacks or BuildDockerfile; empty: as the source has it
	Path   string `json:"path,omitempty"`   // of the Dockerfile in the source; empty: at its top
	Target string `json:"target,omitempty"` // the stage of it that is the image; empty: the last
}

// The kinds of build that can be chosen.
const (
	BuildAuto       = "auto"
	BuildBuildpacks = "buildpacks"
	BuildDockerfile = "dockerfile"
)

// Name is the choice's kind as users type it.
func (c BuilderChoice) Name() string {
	if c.Kind == "" {
		return BuildAuto
	}
	return c.Kind
}

// String is the choice for people, as builder:set takes it.
func (c BuilderChoice) String() string {
	s := c.Name()
	if c.Path != "" {
		s += " --path " + c.Path
	}
	if c.Target != "" {
		s += " --target " + c.Target
	}
	return s
}

var stageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

// CheckBuilderChoice returns the choice in its plain form, or refuses it.
func CheckBuilderChoice(c BuilderChoice) (BuilderChoice, error) {
	switch c.Kind {
	case BuildAuto:
		c.Kind = ""
	case "", BuildBuildpacks, BuildDockerfile:
	default:
		return c, Errorf(Invalid, "there is no builder %q", Clip(c.Kind)).WithHint("there are auto, buildpacks and dockerfile")
	}
	if c.Kind != BuildDockerfile && (c.Path != "" || c.Target != "") {
		return c, Errorf(Invalid, "a path and a target are a Dockerfile's").WithHint("towline builder:set dockerfile --path PATH --target STAGE")
	}
	if c.Path != "" {
		p, err := CheckSourcePath(c.Path)
		if err != nil {
			return c, err
		}
		c.Path = p
	}
	return c, CheckStage(c.Target)
}

// CheckStage tells whether name can be that of a Dockerfile's stage; empty: the last one.
func CheckStage(name string) error {
	if name != "" && !stageName.MatchString(name) {
		return Errorf(Invalid, "%q is not the name of a stage", Clip(name)).WithHint("give what stands behind AS in the Dockerfile: FROM image AS name")
	}
	return nil
}

// CheckSourcePath returns the plain form of a file's path in the source, or refuses one that
// leads out of it by its words. Links are looked at where the file is read.
func CheckSourcePath(name string) (string, error) {
	plain := path.Clean(name)
	switch {
	case len(name) > 255, !utf8.ValidString(name), strings.ContainsFunc(name, unicode.IsControl):
		return "", Errorf(Invalid, "%q is not the path of a file", Clip(name)).WithHint("give it as it is in the repository, like docker/Dockerfile")
	case !filepath.IsLocal(name), plain == ".":
		return "", Errorf(Invalid, "the path %q leads out of the source", Clip(name)).WithHint("give it as it is in the repository, like docker/Dockerfile")
	}
	return plain, nil
}
