package container

import (
	"fmt"
	"strings"
)

// NetworkName is that of an app's own network.
func (cs *Containers) NetworkName(app string) string { return cs.Name + "-" + cs.Handles.Of(app) }

// ProcessName is that of the container of a process of a release, like web.1. operation tells
// apart two generations of it.
func (cs *Containers) ProcessName(app, process string, version int, operation string) string {
	return fmt.Sprintf("%s-%s.%s.v%d.%s", cs.Name, cs.Handles.Of(app), process, version, operation)
}

// TestName is that of a container of a test run, and without a part of its network. No app's begins
// so: of those the first dot is before the name of a process and its release.
func (cs *Containers) TestName(run, part string) string {
	if part == "" {
		return cs.Name + "-ci-" + run + ".net"
	}
	return cs.Name + "-ci-" + run + "." + part
}

// ImageName is what a release's image is called in the engine.
func (cs *Containers) ImageName(app, tag string) string {
	return "localhost/" + cs.Name + "/" + cs.Handles.Of(app) + ":" + tag
}

// ShortName is a process as users know it: "web.1".
func (cs *Containers) ShortName(container string) string {
	_, rest, _ := strings.Cut(container, ".")
	parts := strings.Split(rest, ".")
	return strings.Join(parts[:min(2, len(parts))], ".")
}
