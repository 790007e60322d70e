package build

import (
	"context"

	"towline/daemon"
)

func (j *job) buildBuildpacks(ctx context.Context) (daemon.BuildResult, error) {
	return daemon.BuildResult{}, daemon.Errorf(daemon.Failed, "the source has no Dockerfile").WithHint("commit a Dockerfile at the top of the repository")
}
