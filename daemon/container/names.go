package container

import (
	"strings"
)

// NetworkName is that of an app's own network.
func (cs *Containers) NetworkName(app string) string { return cs.Name + "-" + app }

// ImageName is what a release's image is called in the engine.
func (cs *Containers) ImageName(app, tag string) string {
	return "localhost/" + cs.Name + "/" + app + ":" + tag
}

// ShortName is a process as users know it: "web.1".
func (cs *Containers) ShortName(container string) string {
	_, rest, _ := strings.Cut(container, ".")
	parts := strings.Split(rest, ".")
	return strings.Join(parts[:min(2, len(parts))], ".")
}
