//go:build tools

// Package lifecycle pins the Cloud Native Buildpacks lifecycle that the image localhost/towline/lifecycle carries. It is
// a module of its own so that its dependencies stay out of Towline's.
package lifecycle

import (
	_ "github.com/buildpacks/lifecycle/cmd/launcher"
	_ "github.com/buildpacks/lifecycle/cmd/lifecycle"
)
