package podman

import "strings"

// Podman bounds what a container writes only on overlay over XFS with project quotas, and
// refuses to make one that is to be bounded elsewhere.

// projectQuotas tells whether a directory is on XFS with project quotas in force. mounts is
// as proc(5) has it.
func projectQuotas(mounts, dir string) bool {
	kind, options := mountOf(mounts, dir)
	options = "," + options + ","
	return kind == "xfs" && (strings.Contains(options, ",prjquota,") || strings.Contains(options, ",pquota,"))
}

// mountOf is the kind of the file system that a directory is on, and what that was mounted
// with.
func mountOf(mounts, dir string) (kind, options string) {
	longest := -1
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
		longest, kind, options = len(point), what[0], what[2]
	}
	return kind, options
}
