package podman

import "strings"

// Podman bounds what a container writes only on overlay over XFS with project quotas, and
// refuses to make one that is to be bounded elsewhere.

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
