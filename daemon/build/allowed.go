package build

import (
	"strings"

	"github.com/distribution/reference"

	"towline/daemon"
)

// allowedBases tells which images of the host's engine a Dockerfile may name. All
// apps' images are there, and each holds its app's source: what is not allowed is
// not looked up, so that a build does not even learn whether it exists. What a
// build can't have from here it may still pull for itself, from a registry that
// lets everybody.
type allowedBases struct {
	patterns []string
	own      string // begins the names of this installation's app images
}

// newAllowedBases checks the patterns: REGISTRY/PATH/* for all below it,
// REPOSITORY for all of its tags, REPOSITORY:TAG for one image.
func newAllowedBases(name string, patterns []string) (allowedBases, error) {
	a := allowedBases{patterns: patterns, own: "localhost/" + name + "/"}
	for _, p := range patterns {
		below, all := strings.CutSuffix(p, "/*")
		example := p
		if all {
			example = below + "/x"
		}
		ref, ok := canonical(example)
		if !ok || !strings.HasPrefix(ref, strings.TrimSuffix(example, "/x")) || all && below == "localhost" {
			return a, daemon.Errorf(daemon.Invalid, "bases: %q is not an image, nor the beginning of one that is followed by /*", p).
				WithHint("write it in full, like docker.io/library/node or ghcr.io/acme/*")
		}
	}
	return a, nil
}

// canonical is the name of an image in full: registry, path and tag. An image's ID,
// or part of one, has no such form, and becomes the name of an image on docker.io.
func canonical(name string) (string, bool) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", false
	}
	if _, digested := ref.(reference.Digested); digested {
		return "", false
	}
	return reference.TagNameOnly(ref).String(), true
}

// find returns the name under which an image that a Dockerfile names as name is to
// be looked up. app is the repository of the building app's own images.
func (a allowedBases) find(name, app string) (string, bool) {
	full, ok := canonical(name)
	if !ok {
		return "", false
	}
	repository := full[:strings.LastIndex(full, ":")]
	if repository == app {
		return full, true
	}
	for _, p := range a.patterns {
		below, all := strings.CutSuffix(p, "*")
		switch {
		case p == full:
			return full, true
		case strings.HasPrefix(full, a.own):
			// An app may be called as the operator's own image is: only the tag tells.
		case p == repository, all && strings.HasPrefix(full, below):
			return full, true
		}
	}
	return "", false
}

// repositoryOf is the name of an image without its tag.
func repositoryOf(image string) string {
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		return image[:i]
	}
	return image
}
