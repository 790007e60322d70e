package podman

import (
	"context"
	"os"
	"strings"

	"github.com/containers/podman/v5/pkg/bindings/system"
)

// Podman bounds what a container writes only on overlay over XFS with project quotas, and
// refuses to make one that is to be bounded elsewhere.

// quotas tells whether it can.
func (e *Engine) quotas() bool { return e.storageFact(&e.quota, e.LimitsDisk) }

// LimitsDisk tells whether a container's limit of disk bounds all that it writes, or the
// size of each file alone.
func (e *Engine) LimitsDisk(ctx context.Context) (bool, error) {
	c, err := e.call(ctx)
	if err != nil {
		return false, err
	}
	info, err := system.Info(c, nil)
	if err != nil {
		return false, wrap(err, "podman")
	}
	if info.Store == nil || info.Store.GraphDriverName != "overlay" {
		return false, nil
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && projectQuotas(string(mounts), info.Store.GraphRoot), nil
}

// projectQuotas tells whether a directory is on XFS with project quotas in force. mounts is
// as proc(5) has it.
func projectQuotas(mounts, dir string) bool {
	longest, can := -1, false
	for line := range strings.Lines(mounts) {
		front, back, _ := strings.Cut(line, " - ")
		where, what := strings.Fields(front), strings.Fields(back)
		if len(where) < 5 || len(what) < 3 {
			continue
		}
		point := where[4]
		if dir != point && !strings.HasPrefix(dir, strings.TrimSuffix(point, "/")+"/") || len(point) < longest {
			continue
		}
		options := "," + what[2] + ","
		longest = len(point)
		can = what[0] == "xfs" && (strings.Contains(options, ",prjquota,") || strings.Contains(options, ",pquota,"))
	}
	return can
}
