package podman

import (
	"fmt"
	"os"
	"path/filepath"
)

// A container with a user namespace sees the files of its image under other owners. Where
// the kernel can show them so, in the mounts of the image's layers, that costs nothing.
// Elsewhere Podman copies the image for each range of ids, with every file's owner changed,
// which can take longer than all the rest of a deploy.

// cheapMaps looks at what the storage has noted in its run directory when it first tried;
// before that the kernel's release tells, which has what it takes since 5.19.
func cheapMaps(runRoot, release string) bool {
	for _, can := range []bool{true, false} {
		note := filepath.Join(runRoot, "overlay", fmt.Sprintf("idmapped-lower-dir-%t", can))
		if _, err := os.Stat(note); err == nil {
			return can
		}
	}
	return since519(release)
}

// since519 tells of a kernel that maps ids wherever that matters here.
func since519(release string) bool {
	var major, minor int
	_, err := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return err == nil && (major > 5 || major == 5 && minor >= 19)
}
