package podman

import (
	"context"

	"github.com/containers/podman/v5/pkg/bindings/system"

	"towline/daemon"
)

// The slices of the package's units in systemd/, which say what each kind of work may take
// while others want it too.
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

// sliced tells whether Podman has systemd make its control groups; without, there are no
// slices.
func (e *Engine) sliced() bool { return e.storageFact(&e.slices, e.managedBySystemd) }

func (e *Engine) managedBySystemd(ctx context.Context) (bool, error) {
	c, err := e.call(ctx)
	if err != nil {
		return false, err
	}
	info, err := system.Info(c, nil)
	if err != nil {
		return false, wrap(err, "podman")
	}
	return info.Host != nil && info.Host.CgroupManager == "systemd", nil
}
