package build

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"towline/daemon"
)

const (
	builderLabel   = "io.buildpacks.builder.metadata"
	lifecycleLabel = "io.buildpacks.lifecycle.apis"
)

// platformAPIs are the versions of the platform API that this package speaks,
// newest first.
var platformAPIs = []string{"0.14", "0.13", "0.12"}

// platform is what a builder image says of itself, and what was agreed upon.
type platform struct {
	API        string
	UID, GID   int      // of builds
	RunImages  []string // references to the same image, to be tried in order
	Buildpacks []buildpackRef
}

type builderMetadata struct {
	Buildpacks []buildpackRef `json:"buildpacks"`
	Images     []runImage     `json:"images"`
	Stack      struct {
		RunImage runImage `json:"runImage"` // where older builders have it
	} `json:"stack"`
	Lifecycle struct {
		APIs lifecycleAPIs `json:"apis"`
		API  struct {
			Platform string `json:"platform"` // of builders older still
		} `json:"api"`
	} `json:"lifecycle"`
}

type runImage struct {
	Image   string   `json:"image"`
	Mirrors []string `json:"mirrors"`
}

type lifecycleAPIs struct {
	Platform struct {
		Supported  []string `json:"supported"`
		Deprecated []string `json:"deprecated"`
	} `json:"platform"`
}

func (a lifecycleAPIs) all() []string {
	return slices.Concat(a.Platform.Supported, a.Platform.Deprecated)
}

// parsePlatform reads a builder's labels and environment, and picks the newest
// platform API that it, the lifecycle image and this package all speak.
func parsePlatform(builder, lifecycle daemon.Image) (platform, error) {
	var (
		p    platform
		meta builderMetadata
		own  lifecycleAPIs
	)
	label := builder.Labels[builderLabel]
	if label == "" {
		return p, fmt.Errorf("it has no label %s", builderLabel)
	}
	if err := json.Unmarshal([]byte(label), &meta); err != nil {
		return p, fmt.Errorf("label %s: %w", builderLabel, err)
	}
	if text := lifecycle.Labels[lifecycleLabel]; text != "" {
		if err := json.Unmarshal([]byte(text), &own); err != nil {
			return p, fmt.Errorf("label %s: %w", lifecycleLabel, err)
		}
	}
	theirs := meta.Lifecycle.APIs.all()
	if len(theirs) == 0 && meta.Lifecycle.API.Platform != "" {
		theirs = []string{meta.Lifecycle.API.Platform}
	}
	for _, api := range platformAPIs {
		if slices.Contains(theirs, api) && (len(own.all()) == 0 || slices.Contains(own.all(), api)) {
			p.API = api
			break
		}
	}
	if p.API == "" {
		return p, fmt.Errorf("it speaks platform API %s, not %s", strings.Join(theirs, ", "), strings.Join(platformAPIs, ", "))
	}
	var err error
	if p.UID, err = userID(builder.Env, "CNB_USER_ID"); err != nil {
		return p, err
	}
	if p.GID, err = userID(builder.Env, "CNB_GROUP_ID"); err != nil {
		return p, err
	}
	images := meta.Images
	if len(images) == 0 {
		images = []runImage{meta.Stack.RunImage}
	}
	p.RunImages = append([]string{images[0].Image}, images[0].Mirrors...)
	if p.RunImages[0] == "" {
		return p, fmt.Errorf("it names no run image")
	}
	p.Buildpacks = meta.Buildpacks
	return p, nil
}

// userID reads a user or group id, which must be one of a build's own and not
// root's.
func userID(env map[string]string, name string) (int, error) {
	id, err := strconv.Atoi(env[name])
	if err != nil || id < 1 || id > 65535 {
		return 0, fmt.Errorf("its %s is %q, not a number from 1 to 65535", name, env[name])
	}
	return id, nil
}
