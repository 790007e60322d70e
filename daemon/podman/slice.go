package podman

import "towline/daemon"

// The slices of the package's units in systemd/, which say what each kind of work may take
// while others want it too. Where systemd does not make Podman's control groups there are no
// slices.
const (
	sliceApps   = "towline-apps.slice"
	sliceAddons = "towline-addons.slice"
	sliceBuilds = "towline-builds.slice"
)

// sliceOf is the slice that a container belongs in.
func sliceOf(spec daemon.ContainerSpec) string {
	switch {
	case spec.Limits.Background: // builds, and proofs of backups
		return sliceBuilds
	case daemon.OnlyAnswers(spec.Labels):
		return sliceAddons
	}
	return sliceApps
}
